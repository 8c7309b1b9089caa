package export

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/local"
)

// HAR writes an HTTP archive 1.2, an exchange after the other. WebSockets have their messages as
// Chromium writes them.
type HAR struct {
	to      io.Writer
	version string // of the program
	entries int
}

// NewHAR begins an archive. Nothing is written before the first exchange, or Close.
func NewHAR(to io.Writer, version string) *HAR { return &HAR{to: to, version: version} }

// Add writes one exchange.
func (h *HAR) Add(x *show.Complete) error {
	data, err := json.Marshal(entryOf(x))
	if err != nil {
		return fmt.Errorf("encoding an entry: %w", err)
	}
	before := ",\n"
	if h.entries == 0 {
		if before, err = h.head(); err != nil {
			return err
		}
	}
	h.entries++
	if _, err := io.WriteString(h.to, before); err != nil {
		return err
	}
	_, err = h.to.Write(data)
	return err
}

// Close writes the end. The writer stays open.
func (h *HAR) Close() error {
	end := "\n]}}\n"
	if h.entries == 0 {
		head, err := h.head()
		if err != nil {
			return err
		}
		end = head + end[1:]
	}
	_, err := io.WriteString(h.to, end)
	return err
}

func (h *HAR) head() (string, error) {
	creator, err := json.Marshal(map[string]string{"name": "mezu", "version": h.version})
	return `{"log":{"version":"1.2","creator":` + string(creator) + `,"entries":[` + "\n", err
}

// entry and what is below are of the specification, those with an underscore Chromium's or ours.
type entry struct {
	Started      string             `json:"startedDateTime"`
	Time         float64            `json:"time"`
	Request      harRequest         `json:"request"`
	Response     harResponse        `json:"response"`
	Cache        struct{}           `json:"cache"`
	Timings      map[string]float64 `json:"timings"`
	Comment      string             `json:"comment,omitempty"`
	ID           string             `json:"_id"`
	Tunnel       string             `json:"_tunnel,omitempty"`
	ResourceType string             `json:"_resourceType,omitempty"`
	Messages     []harMessage       `json:"_webSocketMessages,omitempty"`
}

type harRequest struct {
	Method      string       `json:"method"`
	URL         string       `json:"url"`
	HTTPVersion string       `json:"httpVersion"`
	Cookies     []harCookie  `json:"cookies"`
	Headers     []harPair    `json:"headers"`
	QueryString []harPair    `json:"queryString"`
	PostData    *harPostData `json:"postData,omitempty"`
	HeadersSize int          `json:"headersSize"`
	BodySize    int64        `json:"bodySize"`
}

type harResponse struct {
	Status      int         `json:"status"`
	StatusText  string      `json:"statusText"`
	HTTPVersion string      `json:"httpVersion"`
	Cookies     []harCookie `json:"cookies"`
	Headers     []harPair   `json:"headers"`
	Content     harContent  `json:"content"`
	RedirectURL string      `json:"redirectURL"`
	HeadersSize int         `json:"headersSize"`
	BodySize    int64       `json:"bodySize"`
	Error       string      `json:"_error,omitempty"`
}

type harPair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type harCookie struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Path     string `json:"path,omitempty"`
	Domain   string `json:"domain,omitempty"`
	Expires  string `json:"expires,omitempty"`
	HTTPOnly bool   `json:"httpOnly,omitempty"`
	Secure   bool   `json:"secure,omitempty"`
}

type harPostData struct {
	MimeType string `json:"mimeType"`
	Text     string `json:"text"`
	Encoding string `json:"_encoding,omitempty"`
	Comment  string `json:"comment,omitempty"`
}

type harContent struct {
	Size     int64  `json:"size"`
	MimeType string `json:"mimeType"`
	Text     string `json:"text,omitempty"`
	Encoding string `json:"encoding,omitempty"`
	Comment  string `json:"comment,omitempty"`
}

type harMessage struct {
	Type   string  `json:"type"`
	Time   float64 `json:"time"`
	Opcode int     `json:"opcode"`
	Data   string  `json:"data"`
}

// unknownType is how archives name the media type of what has none.
const unknownType = "x-unknown"

func entryOf(x *show.Complete) entry {
	method, target := requestLine(x)
	e := entry{
		Started: x.StartedAt.UTC().Format("2006-01-02T15:04:05.000Z07:00"), ID: x.ID, Tunnel: x.Tunnel, Timings: timings(&x.Timing),
		Request: harRequest{
			Method: method, URL: escaped(origin(x) + target), HTTPVersion: version(lastPart(x.Request.Line)),
			Cookies: []harCookie{}, Headers: namedValues(x.Request.Fields), QueryString: queryPairs(target), HeadersSize: -1,
		},
	}
	for _, ms := range e.Timings {
		e.Time += max(ms, 0)
	}
	for _, f := range x.Request.Fields {
		if strings.EqualFold(f.Name, "Cookie") {
			for _, one := range strings.Split(f.Value, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(one), "=")
				e.Request.Cookies = append(e.Request.Cookies, harCookie{Name: name, Value: value})
			}
		}
	}
	if b := &x.RequestBody; len(b.Data) > 0 {
		text, encoding := textOf(b.Data)
		e.Request.PostData = &harPostData{MimeType: mediaOf(b.MediaType), Text: text, Encoding: encoding, Comment: lacking(x.Request.Body, b)}
	}
	e.Request.BodySize = x.RequestBody.Size
	e.Response = responseOf(x)
	if x.Kind == mezu.ExchangeWebSocket {
		e.ResourceType = "websocket"
		for i := range x.Frames {
			if m, ok := messageOf(&x.Frames[i]); ok {
				e.Messages = append(e.Messages, m)
			}
		}
	}
	if x.ReplayOf != "" {
		e.Comment = "repeats " + x.ReplayOf
	}
	return e
}

// responseOf is the answer. One that did not come has the status 0, as those of browsers have.
func responseOf(x *show.Complete) harResponse {
	out := harResponse{Status: x.Status, Cookies: []harCookie{}, Headers: []harPair{}, HeadersSize: -1, BodySize: x.ResponseBody.Size, Error: string(x.Code), Content: harContent{Size: x.ResponseBody.Size, MimeType: unknownType}}
	if out.Error == "" {
		out.Error = string(x.Cause)
	}
	head := x.Response
	if head == nil {
		head = x.Returned // the Warpgate's own
	}
	if head == nil {
		return out
	}
	protocol, rest, _ := strings.Cut(head.Line, " ")
	_, out.StatusText, _ = strings.Cut(rest, " ")
	out.HTTPVersion = version(protocol)
	out.Headers = namedValues(head.Fields)
	for _, f := range head.Fields {
		switch strings.ToLower(f.Name) {
		case "location":
			out.RedirectURL = f.Value
		case "set-cookie":
			out.Cookies = append(out.Cookies, cookieOf(f.Value))
		}
	}
	b := &x.ResponseBody
	out.Content.MimeType = mediaOf(b.MediaType)
	out.Content.Text, out.Content.Encoding = textOf(b.Data)
	out.Content.Comment = lacking(head.Body, b)
	if out.Content.Comment == "" {
		out.Content.Size = int64(len(b.Data)) // without its content encoding
	}
	return out
}

// lacking says what of a body is not there, or nothing.
func lacking(is *mezu.ExchangeBody, b *local.Content) string {
	if is != nil && is.Kept < is.Size {
		return fmt.Sprintf("the first %d of %d bytes were kept", is.Kept, is.Size)
	}
	return b.Problem
}

// textOf is how an archive has bytes.
func textOf(data []byte) (text, encoding string) {
	if utf8.Valid(data) {
		return string(data), ""
	}
	return base64.StdEncoding.EncodeToString(data), "base64"
}

func mediaOf(media string) string {
	if media == "" {
		return unknownType
	}
	return media
}

func namedValues(fields []mezu.ExchangeField) []harPair {
	out := make([]harPair, 0, len(fields))
	for _, f := range fields {
		out = append(out, harPair{f.Name, f.Value})
	}
	return out
}

// queryPairs are the parameters of a target, as they are written.
func queryPairs(target string) []harPair {
	out := []harPair{}
	_, query, _ := strings.Cut(target, "?")
	for _, one := range strings.Split(query, "&") {
		if one != "" {
			name, value, _ := strings.Cut(one, "=")
			out = append(out, harPair{name, value})
		}
	}
	return out
}

// cookieOf reads a Set-Cookie.
func cookieOf(field string) (c harCookie) {
	pair, rest, _ := strings.Cut(field, ";")
	c.Name, c.Value, _ = strings.Cut(strings.TrimSpace(pair), "=")
	for _, attribute := range strings.Split(rest, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(attribute), "=")
		switch strings.ToLower(name) {
		case "path":
			c.Path = value
		case "domain":
			c.Domain = value
		case "httponly":
			c.HTTPOnly = true
		case "secure":
			c.Secure = true
		case "expires":
			if at, err := http.ParseTime(value); err == nil {
				c.Expires = at.UTC().Format(time.RFC3339)
			}
		}
	}
	return c
}

// timings are the parts of the time, one after the other. What didn't happen is -1 where an
// archive may say so.
func timings(t *mezu.ExchangeTiming) map[string]float64 {
	out := map[string]float64{"blocked": t.QueuedMS, "dns": -1, "connect": t.ConnectMS, "ssl": -1}
	if t.ConnectMS == 0 {
		out["connect"] = -1
	}
	begun := t.QueuedMS + t.ConnectMS
	sent := max(begun, t.SentMS, t.UploadedMS)
	first := t.FirstByteMS
	if first > 0 && sent > first {
		sent = max(begun, min(t.SentMS, first)) // it answered before all was there
	}
	first = max(first, sent)
	out["send"], out["wait"], out["receive"] = sent-begun, first-sent, max(t.EndMS-first, 0)
	return out
}

// messageOf is a message of a WebSocket.
func messageOf(f *show.FrameContent) (harMessage, bool) {
	opcodes := map[mezu.FrameKind]int{mezu.FrameText: 1, mezu.FrameBinary: 2, mezu.FrameClose: 8, mezu.FramePing: 9, mezu.FramePong: 10}
	opcode, ok := opcodes[f.Kind]
	m := harMessage{Type: "send", Time: float64(f.Time.UnixMicro()) / 1e6, Opcode: opcode}
	if f.Out {
		m.Type = "receive"
	}
	if f.Kind == mezu.FrameText {
		m.Data = strings.ToValidUTF8(string(f.Data), "\ufffd")
	} else {
		m.Data = base64.StdEncoding.EncodeToString(f.Data)
	}
	return m, ok
}

// escaped is an address in which no mask or other character is that no address has.
func escaped(address string) string {
	var b strings.Builder
	for _, c := range []byte(address) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>\^{|}`+"`", c) >= 0 {
			b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)+0x100, 16)[1:]))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func lastPart(line string) string { return line[strings.LastIndexByte(line, ' ')+1:] }

// version is the name of a version of HTTP.
func version(word string) string {
	if strings.HasPrefix(word, "HTTP/") {
		return word
	}
	return ""
}
