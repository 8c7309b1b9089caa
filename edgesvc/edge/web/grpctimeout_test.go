package web

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu/relay"
)

func TestGRPCTimeout(t *testing.T) {
	for value, want := range map[string]time.Duration{"1S": time.Second, "250m": 250 * time.Millisecond, "99999999n": 99999999, "3H": 3 * time.Hour, "2562047H": 2562047 * time.Hour, "2M": 2 * time.Minute, "7u": 7 * time.Microsecond} {
		if d, ok := grpcTimeout(value); d != want || !ok {
			t.Errorf("%q: %v, %v", value, d, ok)
		}
	}
	// More than a time.Duration holds is no time that passes.
	for _, value := range []string{"99999999H", "2562048H", "", "S", "1", "1s", "-1S", "+1S", "123456789S", "1 S", "1SS"} {
		if d, ok := grpcTimeout(value); ok {
			t.Errorf("%q: %v", value, d)
		}
	}
	req := relay.Request{Fields: []relay.Field{{Name: []byte("content-type"), Value: []byte("application/grpc")}, {Name: []byte("grpc-timeout"), Value: []byte("1S")}}}
	if pastTimeout(&req, time.Now()) || !pastTimeout(&req, time.Now().Add(-time.Second)) {
		t.Error("the time of a call is counted wrongly")
	}
	if req.Fields = req.Fields[1:]; pastTimeout(&req, time.Now().Add(-time.Hour)) {
		t.Error("what is no call has no time")
	}
}
