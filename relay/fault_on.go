//go:build faults

package relay

// Fault panics where a line of the request's Test-Fault field names this place.
func Fault(r *Request, at string) {
	for i := range r.Fields {
		f := &r.Fields[i]
		if f.Is("test-fault") && string(f.Value) == at {
			panic("fault at " + at + ", as the request says")
		}
	}
}
