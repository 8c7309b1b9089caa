package show

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/decode"
	"github.com/mezusphere/mezu/daemon/inspect/pretty"
	"github.com/mezusphere/mezu/daemon/mask"
	"github.com/mezusphere/mezu/local"
)

// maxContent bounds what is given of a body at once. Only many masks of little secrets make one
// longer than what decode undoes.
const maxContent = local.MaxAnswer

// Body gives the bytes of a body.
func (s *Show) Body(id, side string, form local.Form, unmask bool) (local.Content, error) {
	r, err := s.cfg.Inspector.Get(id)
	if err != nil {
		return local.Content{}, err
	}
	switch side {
	case local.SideRequest:
		return bodyContent(&r.Request, &r.RequestBody, form, unmask)
	case local.SideResponse:
		return bodyContent(&r.Response, &r.ResponseBody, form, unmask)
	}
	return local.Content{}, mezu.Errorf(mezu.CodeNotFound, "a request has the bodies %s and %s", local.SideRequest, local.SideResponse)
}

// bodyContent is a body in one of its forms.
func bodyContent(head *inspect.Message, b *inspect.Body, form local.Form, unmask bool) (local.Content, error) {
	raw, encoding, media := b.Bytes(), head.Field(contentEncoding), head.Field("Content-Type")
	out := local.Content{MediaType: media, Size: b.Size}
	if unmask && form == local.FormRaw {
		out.Data = raw
		return out, nil
	}
	text, problem := decode.Body(encoding, raw)
	kind := pretty.Form(media, text[:min(len(text), maxSniffed)])
	if !unmask {
		text, out.Masked = mask.Body(kind, media, text)
	}
	// Of what can't be undone to its end nobody knows what is in it.
	isHidden := out.Masked > 0 || !unmask && encoding != "" && problem != ""
	if form == local.FormRaw && !isHidden {
		out.Data = raw
		return out, nil
	}
	out.Problem = problem
	return out, give(&out, form, kind, text)
}

// give has an answer give bytes in one of their forms.
func give(out *local.Content, form local.Form, kind mezu.BodyForm, text []byte) error {
	problem := ""
	switch form {
	case local.FormRaw, local.FormDecoded:
		if len(text) > maxContent {
			text, problem = text[:maxContent], fmt.Sprintf("the first %d bytes of %d are given", maxContent, len(text))
		}
		out.Data = text
	case local.FormPretty:
		out.Data, problem = pretty.Body(kind, out.MediaType, text)
	case local.FormHex:
		out.Data, problem = pretty.Hex(text)
	default:
		return mezu.Invalid(local.QueryForm, "is raw, decoded, pretty or hex")
	}
	out.Problem = both(out.Problem, problem)
	return nil
}

// both joins two problems, each of which may be none.
func both(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// Frames gives frames of an exchange.
func (s *Show) Frames(id string, after, size int) (local.Frames, error) {
	r, err := s.cfg.Inspector.Get(id)
	if err != nil {
		return local.Frames{}, err
	}
	if size == 0 {
		size = local.DefaultPage
	}
	page, total, first := r.Frames(after, size)
	out := local.Frames{Items: make([]mezu.Frame, 0, len(page)), Total: total, First: first}
	for i := range page {
		out.Items = append(out.Items, s.FrameRow(r, &page[i]))
	}
	return out, nil
}

// maxLineSource is how much of a frame the line comes from that a list has of it.
const maxLineSource = 8 * mezu.MaxFrameLine

// FrameRow is a frame as lists show it.
func (s *Show) FrameRow(r *inspect.Record, f *inspect.Frame) mezu.Frame {
	out := mezu.Frame{Number: f.Number, Time: f.At, Out: f.Out, Kind: f.Kind, Size: f.Size, Kept: int64(len(f.Data)), Name: f.Name, Problem: f.Problem}
	begin := f.Data[:min(len(f.Data), maxLineSource)]
	kind := f.Kind
	if kind == mezu.FrameMessage {
		text, name := s.schema.Load().Message(r.Path, f.Out, f.Data, maxLineSource)
		begin, kind = text, mezu.FrameText
		if out.Name == "" {
			out.Name = name
		}
	}
	begin, _ = mask.Body(frameForm(kind, begin), "", begin)
	out.Text = pretty.Line(kind, begin)
	out.Name, _ = mask.Text(out.Name)
	return out
}

// frameForm is how the content of a frame is masked and shown.
func frameForm(kind mezu.FrameKind, content []byte) mezu.BodyForm {
	switch kind {
	case mezu.FrameText, mezu.FrameEvent:
		if trimmed := bytes.TrimLeft(content, " \t\r\n"); len(trimmed) > 0 && strings.IndexByte("{[", trimmed[0]) >= 0 {
			return mezu.BodyJSON
		}
		return mezu.BodyText
	}
	return mezu.BodyBinary
}

// Frame gives the bytes of a frame.
func (s *Show) Frame(id string, number int, form local.Form, unmask bool) (local.Content, error) {
	r, err := s.cfg.Inspector.Get(id)
	if err != nil {
		return local.Content{}, err
	}
	f, ok := r.Frame(number)
	if !ok {
		return local.Content{}, mezu.Errorf(mezu.CodeNotFound, "request %s has no frame %d that is kept", r.ID, number)
	}
	out := local.Content{Size: f.Size, Problem: f.Problem}
	content, kind := f.Data, frameForm(f.Kind, f.Data)
	if f.Kind == mezu.FrameMessage && form == local.FormPretty {
		content, _ = s.schema.Load().Message(r.Path, f.Out, f.Data, local.MaxPretty)
		kind = mezu.BodyText
	}
	if !unmask {
		content, out.Masked = mask.Body(kind, "", content)
	}
	return out, give(&out, form, kind, content)
}
