package mezu

// Cause is one word for who or what kept an exchange from its proper end. Edge and
// Warpgate use the same closed set in logs, events and metrics, so that the two
// sides of one request can be laid beside each other. A response that went out
// whole has none. It is part of the public contract, as codes are.
type Cause string

// Causes. On a Warpgate «client» is whoever is at the other end of the tunnel's
// connection: the edge breaks it when its own client is gone.
const (
	CauseClientGone        Cause = "client_gone"        // the client hung up or reset its stream
	CauseClientSlow        Cause = "client_slow"        // it sent or took nothing for as long as it may
	CauseClientMalformed   Cause = "client_malformed"   // what it sent is not HTTP, or larger than a head may be
	CauseOverrun           Cause = "overrun"            // its body is larger than the route allows
	CauseRefused           Cause = "refused"            // the rules say no; the code says which
	CauseWorkloadRefused   Cause = "workload_refused"   // nothing answers at the workload's address
	CauseWorkloadReset     Cause = "workload_reset"     // the workload's connection broke before the end
	CauseWorkloadMalformed Cause = "workload_malformed" // the workload's response is not HTTP; the message names the rule
	CauseTimeout           Cause = "timeout"            // no response within the route's timeout
	CauseIdleTimeout       Cause = "idle_timeout"       // nothing moved for the route's idle_timeout
	CauseWarpgateGone      Cause = "warpgate_gone"      // no Warpgate, or its connection was lost
	CauseWarpgateCut       Cause = "warpgate_cut"       // the Warpgate closed its connection, and its log says why, or it ended
	CauseOverloaded        Cause = "overloaded"         // no connection to a Warpgate became free
	CauseShutdown          Cause = "shutdown"           // the program that carried it was stopped
	CauseInternal          Cause = "internal"           // a fault of ours; the log has more
)

// Causes are all of them: the values that a metric's label may have.
func Causes() []Cause {
	return []Cause{CauseClientGone, CauseClientSlow, CauseClientMalformed, CauseOverrun, CauseRefused, CauseWorkloadRefused, CauseWorkloadReset,
		CauseWorkloadMalformed, CauseTimeout, CauseIdleTimeout, CauseWarpgateGone, CauseWarpgateCut, CauseOverloaded, CauseShutdown, CauseInternal}
}

// causes are those of the codes that are more than a refusal by rules.
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

// Cause is why an exchange ended that was answered with the code.
func (c Code) Cause() Cause {
	switch cause, ok := causes[c]; {
	case ok:
		return cause
	case c.Known():
		return CauseRefused
	}
	return CauseInternal
}

// OfClient reports whether the client alone brought it about: what anybody can do
// as often as he likes, so that it is no news.
func (c Cause) OfClient() bool {
	switch c {
	case CauseClientGone, CauseClientSlow, CauseClientMalformed, CauseOverrun:
		return true
	}
	return false
}
