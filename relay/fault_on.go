//go:build faults

package relay

// Fault panics where a line of the request's Test-Fault field names the place.
func Fault(r *Request, place string) {
	for i := range r.Fields {
		f := &r.Fields[i]
		if f.Is("test-fault") && string(f.Value) == place {
			panic("fault at " + place + ", as the request says")
		}
	}
}
