package trust

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/probe"
)

// Needed reports whether a CA file has a CA that neither the system trusts nor this command has put
// into some store.
func Needed(inv *invocation.Invocation, caFile string) bool {
	if caFile == "" {
		return false
	}
	all, err := read(inv.Path(caFile))
	if err != nil {
		return false
	}
	for _, ca := range all {
		if ca.Check(inv.Clock()) != nil {
			continue
		}
		r, err := recordsOf(inv).of(ca)
		if err == nil && len(r.Stores) > 0 {
			continue
		}
		if _, err := ca.Certificate.Verify(x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, CurrentTime: inv.Clock()}); err != nil {
			return true
		}
	}
	return false
}

// Line is what to type so that the CA of this invocation is trusted.
func Line(inv *invocation.Invocation) string {
	line := "mezu trust"
	if inv.Flags.Profile != "" {
		line += " --profile " + inv.Flags.Profile
	}
	if inv.Flags.CAFile != "" {
		line += " --ca-file " + inv.Flags.CAFile
	}
	return line
}

// lookTime bounds a look at the certificate of an address. A hint is worth no longer wait.
const lookTime = 3 * time.Second

// Advised reports whether the certificate at an address is of the private CA in a file, which is
// Needed: an installation may have a private CA for its control plane, and public certificates at
// its edges.
func Advised(ctx context.Context, inv *invocation.Invocation, caFile, address string) bool {
	if !Needed(inv, caFile) {
		return false
	}
	roots, err := invocation.Roots(inv.Path(caFile))
	if err != nil {
		return false
	}
	prober, err := probe.New(address, roots, inv.Now)
	if err != nil {
		return false
	}
	defer prober.Close()
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	_, err = prober.Edge(ctx)
	_, refused := errors.AsType[*mezu.Error](err)
	return err == nil || refused
}
