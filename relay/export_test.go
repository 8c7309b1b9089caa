package relay

// AppendChunk and AppendLastChunk write bodies in chunks, for tests.
var (
	AppendChunk     = appendChunk
	AppendLastChunk = appendLastChunk
)
