package show

import (
	"context"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/mask"
	"github.com/mezusphere/mezu/local"
)

// Complete is all of an exchange that is kept.
type Complete struct {
	mezu.ExchangeDetail
	// Address is that of its tunnel, scheme://host[:port], or "" if that is gone.
	Address string
	// CAFile has the CA of an installation that has one of its own.
	CAFile string
	// Unmasked says that nothing in it is masked.
	Unmasked bool
	// RequestBody is as it came; if something in it is masked, it is text without its content
	// encoding, if it had one, and then it is Undone. ResponseBody is without it.
	RequestBody, ResponseBody local.Content
	Undone                    bool
	// Frames are those of a WebSocket.
	Frames []FrameContent
}

// Complete gives all of an exchange.
func (s *Show) Complete(id string, unmask bool) (*Complete, error) {
	r, err := s.cfg.Inspector.Get(id)
	if err != nil {
		return nil, err
	}
	return s.complete(r, unmask)
}

// Each calls yield with all of each exchange that a filter chooses, oldest first, until it fails.
// One after the other is read, so that not all are in memory twice.
func (s *Show) Each(ctx context.Context, text string, unmask bool, yield func(*Complete) error) error {
	records, _, _, err := s.list(ctx, text, inspect.Query{})
	if err != nil {
		return err
	}
	slices.Reverse(records)
	return s.each(records, unmask, yield)
}

// These calls yield with all of each of these exchanges, until it fails.
func (s *Show) These(ids []string, unmask bool, yield func(*Complete) error) error {
	records := make([]*inspect.Record, len(ids))
	for i, id := range ids {
		r, err := s.cfg.Inspector.Get(id)
		if err != nil {
			return err
		}
		records[i] = r
	}
	return s.each(records, unmask, yield)
}

func (s *Show) each(records []*inspect.Record, unmask bool, yield func(*Complete) error) error {
	for _, r := range records {
		x, err := s.complete(r, unmask)
		if err != nil {
			return err
		}
		if err := yield(x); err != nil {
			return err
		}
	}
	return nil
}

func (s *Show) complete(r *inspect.Record, unmask bool) (*Complete, error) {
	x := &Complete{ExchangeDetail: s.detail(r, unmask), Unmasked: unmask}
	if s.cfg.Address != nil {
		x.Address, x.CAFile = s.cfg.Address(r.TunnelID)
	}
	var err error
	if x.RequestBody, err = bodyContent(&r.Request, &r.RequestBody, local.FormRaw, unmask); err != nil {
		return nil, err
	}
	x.Undone = r.Request.Field(contentEncoding) != "" && (x.RequestBody.Masked > 0 || x.RequestBody.Problem != "")
	if x.ResponseBody, err = bodyContent(&r.Response, &r.ResponseBody, local.FormDecoded, unmask); err != nil {
		return nil, err
	}
	if r.Kind != mezu.ExchangeWebSocket {
		return x, nil
	}
	frames, _, _ := r.Frames(0, mezu.MaxFrames)
	for i := range frames {
		f := &frames[i]
		content := f.Data
		if !unmask {
			content, _ = mask.Body(frameForm(f.Kind, content), "", content)
		}
		x.Frames = append(x.Frames, FrameContent{s.FrameRow(r, f), content})
	}
	return x, nil
}

// FrameContent is a frame with its content.
type FrameContent struct {
	mezu.Frame
	Data []byte
}
