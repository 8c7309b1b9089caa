package mezu

// Cause is one word for who or what kept an exchange from its proper end. Edge and
// Warpgate use the same closed set in logs, events and metrics, so that both sides of one
// request can be compared. A response that was sent completely has no cause. Causes are part
// of the public contract, as codes are.
type Cause string

// Causes. On a Warpgate, the client is the other end of the tunnel's connection, which is an
// edge. The edge breaks that connection when its own client is gone.
const (
	CauseClientGone        Cause = "client_gone"        // the client hung up or reset its stream
	CauseClientSlow        Cause = "client_slow"        // it sent or took nothing for as long as it may
	CauseClientMalformed   Cause = "client_malformed"   // what it sent is not HTTP, or larger than a head may be
	CauseOverrun           Cause = "overrun"            // its body is larger than the route allows
	CauseRefused           Cause = "refused"            // the rules say no; the code says which
	CauseWorkloadRefused   Cause = "workload_refused"   // nothing answers at the workload's address
	CauseWorkloadReset     Cause = "workload_reset"     // the workload's connection broke before the end
	CauseWorkloadCanceled  Cause = "workload_canceled"  // the workload gave the exchange up (RST_STREAM with CANCEL), as gRPC's do at a deadline
	CauseWorkloadMalformed Cause = "workload_malformed" // the workload's response is not HTTP; the message names the rule
	CauseTimeout           Cause = "timeout"            // no response within the route's timeout
	CauseIdleTimeout       Cause = "idle_timeout"       // nothing moved for the route's idle_timeout
	CauseWarpgateGone      Cause = "warpgate_gone"      // no Warpgate, or its connection was lost
	CauseWarpgateCut       Cause = "warpgate_cut"       // the Warpgate closed its connection, and its log says why, or it ended
	CauseOverloaded        Cause = "overloaded"         // no connection to a Warpgate became free
	CauseSessionEnded      Cause = "session_ended"      // the session that let it in was ended, or its user was
	CauseShutdown          Cause = "shutdown"           // the program that carried it was stopped
	CauseInternal          Cause = "internal"           // a fault of ours; the log has more
)

// Causes are all of them: the values that a metric's label may have.
func Causes() []Cause {
	return []Cause{CauseClientGone, CauseClientSlow, CauseClientMalformed, CauseOverrun, CauseRefused, CauseWorkloadRefused, CauseWorkloadReset,
		CauseWorkloadCanceled, CauseWorkloadMalformed, CauseTimeout, CauseIdleTimeout, CauseWarpgateGone, CauseWarpgateCut, CauseOverloaded, CauseSessionEnded, CauseShutdown, CauseInternal}
}

// causes are the causes of those codes that don't just mean a refusal by the rules.
var causes = map[Code]Cause{
	CodeNotCanonical:        CauseClientMalformed,
	CodeURITooLong:          CauseClientMalformed,
	CodeHeaderTooLarge:      CauseClientMalformed,
	CodeRequestTimeout:      CauseClientSlow,
	CodeBodyTooLarge:        CauseOverrun,
	CodeWorkloadRefused:     CauseWorkloadRefused,
	CodeWorkloadReset:       CauseWorkloadReset,
	CodeWorkloadBadResponse: CauseWorkloadMalformed,
	CodeWorkloadTimeout:     CauseTimeout,
	CodeNoWarpgate:          CauseWarpgateGone,
	CodeOverloaded:          CauseOverloaded,
	CodeInternal:            CauseInternal,
}

// Cause is the cause of an exchange that was answered with the code.
func (c Code) Cause() Cause {
	switch cause, ok := causes[c]; {
	case ok:
		return cause
	case c.Known():
		return CauseRefused
	}
	return CauseInternal
}

// OfClient reports whether the client alone brought it about. Any client can do that as
// often as it likes, so it is not worth a line in a log.
func (c Cause) OfClient() bool {
	switch c {
	case CauseClientGone, CauseClientSlow, CauseClientMalformed, CauseOverrun:
		return true
	}
	return false
}

// Cut is the end of an exchange that nobody can be told of in an answer: its response
// had begun, or it was a stream of bytes.
type Cut struct {
	Cause Cause
	Err   error // for logs
}

// Error says what happened.
func (c *Cut) Error() string {
	if c.Err == nil {
		return string(c.Cause)
	}
	return string(c.Cause) + ": " + c.Err.Error()
}
