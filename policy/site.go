package policy

import "sync/atomic"

// Site is what is in force for one host. It stays the same while what is in force changes,
// so that a connection for the host looks for it once. The zero Site has nothing in force.
type Site struct{ table atomic.Pointer[Table] }

// Set puts a table in force; nil ends what was.
func (s *Site) Set(t *Table) { s.table.Store(t) }

// Table is what is in force, nil if nothing is.
func (s *Site) Table() *Table { return s.table.Load() }

// Choose finds the route of a request by what is in force, and says by what: nil if nothing is in
// force.
func (s *Site) Choose(r *Request) (*Table, Decision) {
	t := s.table.Load()
	if t == nil {
		return nil, Decision{}
	}
	return t, t.Choose(r)
}
