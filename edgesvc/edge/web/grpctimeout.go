package web

import (
	"math"
	"strconv"
	"time"

	"github.com/mezusphere/mezu/relay"
)

// maxTimeoutDigits is how many digits a grpc-timeout has at most (gRPC over HTTP/2, Requests).
const maxTimeoutDigits = 8

// pastTimeout reports whether the time that a gRPC client gave its call is over, counted from
// started. A workload gives such a call up by resetting it, and the client has to learn just
// that: an answer of ours would be another failure, where a deadline has passed.
func pastTimeout(req *relay.Request, started time.Time) bool {
	if !req.Streams() {
		return false
	}
	for i := range req.Fields {
		if req.Fields[i].Is("grpc-timeout") {
			d, ok := grpcTimeout(string(req.Fields[i].Value))
			return ok && time.Since(started) >= d
		}
	}
	return false
}

// grpcTimeout reads the value of a grpc-timeout: digits and a unit. It is false for one that is
// malformed, and for one that takes longer than a time.Duration holds.
func grpcTimeout(value string) (time.Duration, bool) {
	n := len(value) - 1
	if n < 1 || n > maxTimeoutDigits {
		return 0, false
	}
	count, err := strconv.ParseUint(value[:n], 10, 32)
	if err != nil {
		return 0, false
	}
	units := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}
	unit, ok := units[value[n]]
	if !ok || count > math.MaxInt64/uint64(unit) {
		return 0, false
	}
	return time.Duration(count) * unit, true
}
