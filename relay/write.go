package relay

import "strconv"

// appendFields writes field lines.
func appendFields(dst []byte, fields []Field) []byte {
	for i := range fields {
		dst = append(dst, fields[i].Name...)
		dst = append(dst, ": "...)
		dst = append(dst, fields[i].Value...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "\r\n"...)
}

// Hop says how a response goes on.
type Hop struct {
	// Close announces that the connection ends after this message.
	Close bool
	// HTTP10 is set when the receiver speaks HTTP/1.0: no chunks, no 1xx.
	HTTP10 bool
	// RequestID replaces the response's own, if not empty.
	RequestID string
	// Date is given to a final response that has none, if not empty (RFC 9110,
	// 6.6.1).
	Date string
}

// Out is the framing that a response leaves with: a body of unknown length goes
// in chunks, or until close to a receiver of HTTP/1.0.
func (h *ResponseHead) Out(hop Hop) Framing {
	if h.Framing == Chunked || h.Framing == UntilClose {
		if hop.HTTP10 {
			return UntilClose
		}
		return Chunked
	}
	return h.Framing
}

// Append serialises the response for the next hop: hop-by-hop fields dropped,
// framing made from the parsed values.
func (h *ResponseHead) Append(dst []byte, hop Hop) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, byte('0'+h.Status/100), byte('0'+h.Status/10%10), byte('0'+h.Status%10), ' ')
	dst = append(dst, h.Reason...)
	dst = append(dst, "\r\n"...)
	dated := hop.Date == "" || h.Status < 200
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.kind == fieldRequestID && hop.RequestID != "" || h.hopByHop(f) {
			continue
		}
		dated = dated || f.Is("date")
		dst = append(dst, f.Name...)
		dst = append(dst, ": "...)
		dst = append(dst, f.Value...)
		dst = append(dst, "\r\n"...)
	}
	if hop.RequestID != "" {
		dst = append(dst, "X-Request-Id: "...)
		dst = append(dst, hop.RequestID...)
		dst = append(dst, "\r\n"...)
	}
	if !dated {
		dst = append(dst, "Date: "...)
		dst = append(dst, hop.Date...)
		dst = append(dst, "\r\n"...)
	}
	switch {
	case h.Status == 101:
		return append(dst, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"...)
	case h.Status == 426 && h.Upgrade() == "websocket":
		// RFC 9110, 15.5.22: it says to what.
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	}
	switch {
	case h.Out(hop) == Chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case h.DeclaredLength() >= 0:
		dst = appendLength(dst, h.Length)
	}
	switch {
	case h.Status < 200:
	case hop.Close:
		dst = append(dst, "Connection: close\r\n"...)
	case hop.HTTP10:
		// It asked for that, and waits for the end of the connection without this.
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// appendChunk writes data as one chunk. Empty data is no chunk: it would end the
// body.
func appendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = strconv.AppendUint(dst, uint64(len(data)), 16)
	dst = append(dst, "\r\n"...)
	dst = append(dst, data...)
	return append(dst, "\r\n"...)
}

// appendLastChunk ends a chunked body with its trailer section.
func appendLastChunk(dst []byte, trailer []Field) []byte {
	dst = append(dst, "0\r\n"...)
	dst = appendFields(dst, trailer)
	return append(dst, "\r\n"...)
}
