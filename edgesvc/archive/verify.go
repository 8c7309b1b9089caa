package archive

import (
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

// ScopeReport is what a verification found of one scope.
type ScopeReport struct {
	Scope    string `json:"scope"`
	Segments int    `json:"segments"`
	Records  int    `json:"records"`
	// Head is the end of the chain. Whether segments after it were removed shows only by
	// comparing it with a head that was noted before, or with the control plane's.
	Head Head `json:"head"`
	// From and To are the times of the first and the last record.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Faults name the segments that are missing, changed or not in their place.
	Faults []string `json:"faults,omitempty"`
}

// Verify reads every segment of every scope: signatures, chain, records.
func (a *Archive) Verify() ([]ScopeReport, error) {
	scopes, err := a.Scopes()
	if err != nil {
		return nil, err
	}
	slices.Sort(scopes)
	var out []ScopeReport
	if err := a.loadKeys(); err != nil {
		out = append(out, ScopeReport{Scope: dirKeysets, Faults: strings.Split(err.Error(), "\n")})
	}
	for _, scope := range scopes {
		r, err := a.verify(scope)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (a *Archive) verify(scope string) (ScopeReport, error) {
	r := ScopeReport{Scope: scope}
	entries, err := a.Index(scope, 0)
	if err != nil {
		return r, err
	}
	for _, e := range entries {
		r.Segments++
		if e.Err != nil {
			r.Faults = append(r.Faults, e.Err.Error())
			continue
		}
		r.Head = Head{Sequence: e.Sequence, Hash: e.Hash}
		records, err := a.Read(scope, e.Sequence)
		if err != nil {
			r.Faults = append(r.Faults, err.Error())
			continue
		}
		r.Records += len(records)
		r.note(records)
	}
	return r, nil
}

func (r *ScopeReport) note(records []mezu.AuditRecord) {
	for _, rec := range records {
		if r.From.IsZero() || rec.Time.Before(r.From) {
			r.From = rec.Time
		}
		if rec.Time.After(r.To) {
			r.To = rec.Time
		}
	}
}
