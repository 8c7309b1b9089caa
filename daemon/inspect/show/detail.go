package show

import (
	"cmp"
	"iter"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/decode"
	"github.com/mezusphere/mezu/daemon/inspect/pretty"
	"github.com/mezusphere/mezu/daemon/mask"
)

// maxSniffed is how much of a body without a known type is looked at to tell its form.
const maxSniffed = 4 << 10

// Exchange gives all of an exchange but its bodies and frames.
func (s *Show) Exchange(id string, unmask bool) (mezu.ExchangeDetail, error) {
	r, err := s.cfg.Inspector.Get(id)
	if err != nil {
		return mezu.ExchangeDetail{}, err
	}
	return s.detail(r, unmask), nil
}

func (s *Show) detail(r *inspect.Record, unmask bool) mezu.ExchangeDetail {
	d := mezu.ExchangeDetail{Exchange: Row(r, !unmask), Upstream: r.Upstream, Timing: r.Timing}
	if m := message(&r.Request, unmask); m != nil {
		d.Request = *m
	}
	d.Sent, d.Response, d.Returned = message(&r.Sent, unmask), message(&r.Response, unmask), message(&r.Returned, unmask)
	for i := range r.Interims {
		if m := message(&r.Interims[i], unmask); m != nil {
			d.Interims = append(d.Interims, *m)
		}
	}
	d.Request.Body = body(r, &r.Request, &r.RequestBody)
	if d.Response != nil {
		d.Response.Body = body(r, &r.Response, &r.ResponseBody)
	}
	if r.Kind == mezu.ExchangeGRPC && d.Message == "" {
		d.Message = s.grpcProblem(r, unmask)
	}
	return d
}

// Value gives one value of an exchange as it came: the field with this index of a part, which is
// a message, as request, sent, response or returned, or its trailers, as request-trailers. That of
// LineValue is the first line.
func (s *Show) Value(id, part string, index int) (string, error) {
	d, err := s.Exchange(id, true)
	if err != nil {
		return "", err
	}
	name, trailers := strings.CutSuffix(part, "-trailers")
	m := map[string]*mezu.ExchangeMessage{"request": &d.Request, "sent": d.Sent, "response": cmp.Or(d.Response, d.Returned), "returned": d.Returned}[name]
	if m != nil && index == LineValue && !trailers {
		return m.Line, nil
	}
	if m != nil {
		all := m.Fields
		if trailers {
			all = m.Trailers
		}
		if index >= 0 && index < len(all) {
			return all[index].Value, nil
		}
	}
	return "", mezu.Errorf(mezu.CodeNotFound, "request %s has no such value", d.ID)
}

// LineValue is the index of the first line among the values of a message.
const LineValue = -1

// message is a head with its trailers, or nil if there is none.
func message(m *inspect.Message, unmask bool) *mezu.ExchangeMessage {
	if len(m.Head) == 0 {
		return nil
	}
	out := &mezu.ExchangeMessage{Line: m.Line(), Fields: fields(m.Fields(), unmask), Trailers: fields(m.TrailerFields(), unmask)}
	if !unmask {
		out.Line, _ = mask.Line(out.Line)
	}
	if out.Fields == nil {
		out.Fields = []mezu.ExchangeField{}
	}
	return out
}

func fields(of iter.Seq2[string, string], unmask bool) (out []mezu.ExchangeField) {
	for name, value := range of {
		f := mezu.ExchangeField{Name: name, Value: value}
		if !unmask {
			masked := 0
			f.Value, masked = mask.Field(name, value)
			f.Masked = masked > 0
		}
		out = append(out, f)
	}
	return out
}

// body says what a body is.
func body(r *inspect.Record, head *inspect.Message, b *inspect.Body) *mezu.ExchangeBody {
	out := &mezu.ExchangeBody{Size: b.Size, Kept: b.Kept(), MediaType: head.Field("Content-Type"), Encoding: head.Field(contentEncoding)}
	switch {
	case isFramed(r, head):
		out.Form = mezu.BodyFrames
	case b.Size == 0:
		out.Form = mezu.BodyEmpty
	default:
		out.Form = pretty.Form(out.MediaType, decode.Begin(out.Encoding, b.Bytes(), maxSniffed))
	}
	return out
}

// isFramed reports whether what follows a head is shown as frames.
func isFramed(r *inspect.Record, head *inspect.Message) bool {
	switch r.Kind {
	case mezu.ExchangeWebSocket, mezu.ExchangeGRPC:
		return true
	case mezu.ExchangeEvents:
		return head == &r.Response
	}
	return false
}

// grpcProblem is what the details of a gRPC status say, or its message.
func (s *Show) grpcProblem(r *inspect.Record, unmask bool) string {
	text := ""
	for _, of := range []iter.Seq2[string, string]{r.Response.Fields(), r.Response.TrailerFields()} {
		for name, value := range of {
			switch name {
			case "grpc-status-details-bin", "Grpc-Status-Details-Bin":
				if details := s.schema.Load().Status(value); details != "" {
					text = details
				}
			case "grpc-message", "Grpc-Message":
				if text == "" {
					text = value
				}
			}
		}
	}
	if !unmask {
		masked, _ := mask.Body(mezu.BodyText, "", []byte(text))
		text = string(masked)
	}
	return text
}
