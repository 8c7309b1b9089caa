package relay

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"testing"
)

// The names that cost no memory are those that net/http would have made.
func TestUsualNames(t *testing.T) {
	for _, written := range slices.Sorted(maps.Keys(usualNames)) {
		if got, want := usualNames[written], http.CanonicalHeaderKey(written); got != want {
			t.Errorf("%s: %q, want %q", written, got, want)
		}
	}
}

// Fields of one name stay together and in order, however they are written, and a later
// addition to one does not reach into another.
func TestEndToEnd(t *testing.T) {
	head := ResponseHead{message: message{Fields: []Field{
		{Name: []byte("set-cookie"), Value: []byte("a")}, {Name: []byte("X-own"), Value: []byte("b")}, {Name: []byte("Set-Cookie"), Value: []byte("c")}, {Name: []byte("SERVER"), Value: []byte("d")},
	}}}
	header := http.Header{}
	head.EndToEnd(header)
	header.Add("Set-Cookie", "e")
	if want := (http.Header{"Set-Cookie": {"a", "c", "e"}, "X-Own": {"b"}, "Server": {"d"}}); !reflect.DeepEqual(header, want) {
		t.Errorf("%v, want %v", header, want)
	}
}
