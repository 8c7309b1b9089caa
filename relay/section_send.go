package relay

import "github.com/mezusphere/mezu"

// EachField calls add for each field of the response that goes on in HTTP/2, without «:status»:
// what Append writes, but for framing that HTTP/2 has of its own. Names come in any case, and
// both texts are valid during the call only. Those made here are kept in text, which is begun
// anew. Of a 101, which leaves as a 200 (RFC 8441, 5), Sec-WebSocket-Accept stays behind.
func (h *ResponseHead) EachField(hop Hop, text *Text, add func(name, value []byte)) {
	text.reset()
	dated := hop.Date == "" || h.Status < 200 && h.Status != 101
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.kind == fieldRequestID && hop.RequestID != "" || h.hopByHop(f) || h.Status == 101 && f.Is(webSocketAccept) {
			continue
		}
		dated = dated || f.Is("date")
		add(f.Name, f.Value)
	}
	if hop.RequestID != "" {
		add(text.add(mezu.HeaderRequestID), text.add(hop.RequestID))
	}
	if !dated {
		add(text.add("Date"), text.add(hop.Date))
	}
	if n := h.DeclaredLength(); n >= 0 {
		add(text.add("Content-Length"), text.addInt(n))
	}
}

// EachForwarded calls add for each field of the request to a workload that is spoken to in
// HTTP/2, without pseudo-fields: what AppendForwarded writes, but for Host and framing that
// HTTP/2 has of its own. It is for no upgrade. Names come in any case, and both texts are valid
// during the call only. Those made here are kept in text, which is begun anew.
func (r *Request) EachForwarded(f *Forwarded, text *Text, add func(name, value []byte)) {
	text.reset()
	for i := range r.Fields {
		add(r.Fields[i].Name, r.Fields[i].Value)
	}
	if f.Client.IsValid() {
		n := len(text.bytes)
		text.bytes = f.Client.AppendTo(text.bytes)
		client := text.bytes[n:len(text.bytes):len(text.bytes)]
		add(text.add("X-Forwarded-For"), client)
	}
	say := func(name, value string) { add(text.add(name), text.add(value)) }
	say("X-Forwarded-Proto", f.proto())
	say("X-Forwarded-Host", f.asked(r))
	if f.Prefix != "" {
		say("X-Forwarded-Prefix", f.Prefix)
	}
	say(mezu.HeaderRequestID, f.ID)
	for i := range f.Identity {
		add(f.Identity[i].Name, f.Identity[i].Value)
	}
	switch {
	case r.Framing == Length:
		add(text.add("Content-Length"), text.addInt(r.Length))
	case r.Framing == NoBody && (r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH"):
		say("Content-Length", "0")
	}
	if r.Trailers {
		say("TE", "trailers")
	}
	if r.Announced != "" {
		say("Trailer", r.Announced)
	}
	if r.Expect {
		say("Expect", "100-continue")
	}
}
