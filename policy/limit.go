package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/gcra"
)

// Limit is a rate limit as it is used.
type Limit struct {
	// Rule is told from others by the environment, the route's identity and the limit's own values,
	// so that an unchanged limit goes on counting under a new bundle.
	gcra.Rule
	By mezu.LimitBy
	// Policy says what the limit is: the value of RateLimit-Policy
	// (draft-ietf-httpapi-ratelimit-headers-11, 3).
	Policy []byte
}

// Step is the one at which requests are counted: as soon as it may be known whose they are.
func (l *Limit) Step() Step {
	if l.By == mezu.LimitByIP {
		return StepAddressLimit
	}
	return StepUserLimit
}

// compileLimit makes the limit of a route whose values are valid; nil for none.
func compileLimit(b *mezu.Bundle, r *mezu.Route) *Limit {
	in := r.RateLimit
	if in == nil {
		return nil
	}
	per := time.Duration(min(in.Per, mezu.MaxRatePer))
	burst := in.Burst
	if burst == 0 {
		burst = in.Requests
	}
	l := &Limit{By: in.By}
	l.Set(gcra.Rate{Events: in.Requests, Per: per, Burst: burst})
	l.Owner = limitKey(b.Environment)
	l.ID = limitKey(b.Environment, r.Identity(), string(in.By), strconv.Itoa(in.Requests), strconv.Itoa(burst), per.String())
	const second = time.Second
	l.Policy = strconv.AppendInt([]byte(`"default";q=`), int64(in.Requests), 10)
	l.Policy = strconv.AppendInt(append(l.Policy, ";w="...), int64((per+second-1)/second), 10)
	return l
}

// limitKey is a key that depends on texts, and on nothing else.
func limitKey(texts ...string) (k gcra.Key) {
	var all []byte
	for _, s := range texts {
		all = append(binary.BigEndian.AppendUint32(all, uint32(len(s))), s...)
	}
	sum := sha256.Sum256(all)
	copy(k[:], sum[:])
	return k
}
