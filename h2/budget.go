package h2

import "time"

// budget is what a peer may do at once, and how soon it may again.
type budget struct {
	burst float64
	rate  float64 // a second
}

// Budgets of a connection. Whoever exceeds one gets GOAWAY ENHANCE_YOUR_CALM.
var (
	// resets are streams that were ended before their response was: by the peer, or because
	// it broke the rules of a stream. Each has cost a request. Twice as many as may be open at
	// once is what a browser cancels that leaves two pages.
	resets = budget{2 * maxStreams, 20}
	// refusals are streams beyond what may be open at once. Whoever has read the settings opens
	// none; before that, a burst is usual.
	refusals = budget{maxStreams, 5}
	// oversized are sections of fields that are too large: each has cost as much to read as many
	// requests, and is answered by a page of the edge's own. A browser with too many cookies meets
	// that with its page and its icon.
	oversized = budget{16, 1}
	// controls are frames that ask for an answer or change nothing: PING, SETTINGS, PRIORITY,
	// PRIORITY_UPDATE, empty ones, and those of unknown types. A client of gRPC measures its path
	// by a PING for each DATA at most, so each frame that carries something earns one.
	controls = budget{200, 10}
	// updates are WINDOW_UPDATE frames, beside those that what was sent earns.
	updates = budget{400, 20}
)

const (
	// updatesEarned is how many WINDOW_UPDATE each DATA frame earns, however small: many clients
	// send one for the stream and one for the connection when they have read one.
	updatesEarned = 2
	// updateBytes is how many bytes of DATA earn one more. Go's client sends one for the
	// stream and one for the connection for each 4 KiB that it reads.
	updateBytes = 1 << 10
	// maxUpdates is how many are saved: a client may read at once what it has stopped for.
	maxUpdates = 16 << 10
	// settingsCost is how many controls one SETTINGS counts for, with as many settings in it or fewer:
	// a client sends a few in all, and each may change every stream. Of more each counts.
	settingsCost = 8
	// maxStuck is how many streams may wait for the first byte of their window, for stuckTime:
	// each holds a response. A window that begins at zero is usual nowhere.
	maxStuck  = 16
	stuckTime = 500 * time.Millisecond
	// maxBlock bounds a section of fields as it comes, compressed: twice what may be in it.
	// More is no client that could be answered.
	maxBlock = 64 << 10
	// maxContinuations bounds the frames of one section: maxBlock fits in four.
	maxContinuations = 16
	// maxAnswers bounds what is to be written to a peer that takes nothing: answers to PING and
	// SETTINGS, and resets.
	maxAnswers = 64 << 10
	// tableSize is the dynamic table of a peer's fields (RFC 7541, 4.2), HTTP/2's own default.
	tableSize = 4 << 10
)

// account is what is left of a budget.
type account struct {
	spent float64
	at    time.Time
}

// take spends some of a budget, and reports whether it was there.
func (a *account) take(b budget, n float64, now time.Time) bool {
	if a.spent > 0 {
		a.spent = max(0, a.spent-now.Sub(a.at).Seconds()*b.rate)
	}
	a.at = now
	a.spent += n
	return a.spent <= b.burst
}

// earn gives some back, and saves up to so much for later.
func (a *account) earn(n, saved float64) { a.spent = max(-saved, a.spent-n) }
