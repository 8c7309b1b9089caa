//go:build faults

package relay

// Fault panics where the request's Test-Fault field names the place.
func Fault(r *Request, place string) {
	if v, ok := r.Header("test-fault"); ok && v == place {
		panic("fault at " + place + ", as the request says")
	}
}
