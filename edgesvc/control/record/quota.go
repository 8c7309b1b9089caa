package record

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
)

// Quotas bound how many records of a kind one owner may have, by the kind's name, so
// that no tenant fills the store of all. What is not named has its default.
type Quotas map[string]int

// Quota is one bound: what it counts, below what, its default and the highest value
// that it can be set to.
type Quota struct {
	Name, Owner   string
	Fallback, Max int
}

// AnyNumber is as good as no quota.
const AnyNumber = 1_000_000_000

// Listed is the most of what is counted by listing it, in one page with room for what
// has ended.
const Listed = 500

// Quotas of what lies below all nouns.
var (
	// Fifty environments at their limit; what was replaced counts for a minute.
	quotaBytes = Quota{Name: "bytes", Owner: "the organization", Fallback: 1 << 30, Max: 1 << 40}
	// QuotaRevocations counts the users and sessions that were ended within the life of a session. It
	// refuses nothing.
	QuotaRevocations = Quota{Name: "revocations", Owner: "the organization", Fallback: MaxRevocations, Max: AnyNumber}
)

// MaxRevocations is how many users and sessions of an organization are ended one by one
// within the life of a session; with the next all grants of its directory end, and sessions
// that go on get new ones. It is a twentieth
// of what an edge is measured with.
const MaxRevocations = 10_000

// ParseQuotas reads settings of the form NAME=N of known quotas.
func ParseQuotas(known []Quota, settings []string) (Quotas, error) {
	out := Quotas{}
	for _, setting := range settings {
		name, value, ok := strings.Cut(setting, "=")
		n, err := strconv.Atoi(value)
		if !ok || err != nil {
			return nil, mezu.Invalid("quotas", "is a list of NAME=NUMBER; %q is not", setting)
		}
		if _, twice := out[name]; twice {
			return nil, mezu.Invalid("quotas", "%s is given twice", name)
		}
		out[name] = n
	}
	return out, out.Validate(known)
}

// Validate checks names and numbers.
func (q Quotas) Validate(known []Quota) error {
	for name, n := range q {
		i := slices.IndexFunc(known, func(a Quota) bool { return a.Name == name })
		if i < 0 {
			var names []string
			for _, a := range known {
				names = append(names, a.Name)
			}
			return mezu.Invalid("quotas", "there is no quota %q; there are %s", name, strings.Join(names, ", "))
		}
		if n < 1 || n > known[i].Max {
			return mezu.Invalid("quotas", "%s is between 1 and %d, not %d", name, known[i].Max, n)
		}
	}
	return nil
}

// Most is the value of a quota.
func (s *Records) Most(q Quota) int { return cmp.Or(s.quotas[q.Name], q.Fallback) }

// Within refuses the n-th record of an owner if it is one too many.
func (s *Records) Within(q Quota, n int) error {
	most := s.Most(q)
	if n <= most {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the quota of %s is %d: %s has no room for more", strings.ReplaceAll(q.Name, "_", " "), most, q.Owner),
		Hint: "delete what nobody uses, or ask an operator for a higher `quotas: [" + q.Name + "=N]`"}
}

// noBytes refuses a document that an organization has no room for.
func (s *Records) noBytes() error {
	most := s.Most(quotaBytes)
	return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the quota of bytes is %d: the routes and bundles of the organization have no room for more", most),
		Hint: "what was replaced makes room within a minute; else delete what nobody uses, or ask an operator for a higher `quotas: [" + quotaBytes.Name + "=N]`"}
}

// OwnQuotas are those of what lies below all nouns.
func OwnQuotas() []Quota { return []Quota{QuotaRevocations, quotaBytes} }
