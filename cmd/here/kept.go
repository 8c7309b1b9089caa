package here

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/requests/draft"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/requests"
)

// kept is what the inspector of the daemon keeps.
type kept struct{ *Here }

// Requests gives a page of what is kept.
func (k kept) Requests(ctx context.Context, q local.RequestsQuery) (local.Requests, error) {
	return ask(ctx, k.Here, func(c *local.Client) (local.Requests, error) { return c.Requests(ctx, q) })
}

// Exchange gives one exchange.
func (k kept) Exchange(ctx context.Context, id string, unmask bool) (mezu.ExchangeDetail, error) {
	return ask(ctx, k.Here, func(c *local.Client) (mezu.ExchangeDetail, error) { return c.Exchange(ctx, id, unmask) })
}

// Frames gives frames of an exchange.
func (k kept) Frames(ctx context.Context, id string, after, size int) (local.Frames, error) {
	return ask(ctx, k.Here, func(c *local.Client) (local.Frames, error) { return c.Frames(ctx, id, after, size) })
}

// Body gives a body.
func (k kept) Body(ctx context.Context, id, side string, form local.Form, unmask bool) (local.Content, error) {
	return ask(ctx, k.Here, func(c *local.Client) (local.Content, error) { return c.Body(ctx, id, side, form, unmask) })
}

// Frame gives the content of a frame.
func (k kept) Frame(ctx context.Context, id string, number int, form local.Form, unmask bool) (local.Content, error) {
	return ask(ctx, k.Here, func(c *local.Client) (local.Content, error) { return c.Frame(ctx, id, number, form, unmask) })
}

// Diff compares two exchanges.
func (k kept) Diff(ctx context.Context, a, b string, unmask bool) (local.Difference, error) {
	return ask(ctx, k.Here, func(c *local.Client) (local.Difference, error) { return c.Diff(ctx, a, b, unmask) })
}

// Replay sends a request again.
func (k kept) Replay(ctx context.Context, id string, r local.Replay) (local.Replayed, error) {
	return ask(ctx, k.Here, func(c *local.Client) (local.Replayed, error) { return c.Replay(ctx, id, r) })
}

// Pin keeps a request, or no longer.
func (k kept) Pin(ctx context.Context, id string, pinned bool) (mezu.Exchange, error) {
	return ask(ctx, k.Here, func(c *local.Client) (mezu.Exchange, error) { return c.Pin(ctx, id, pinned) })
}

// Clear removes requests.
func (k kept) Clear(ctx context.Context, filter string) (local.Cleared, error) {
	return ask(ctx, k.Here, func(c *local.Client) (local.Cleared, error) { return c.Clear(ctx, filter) })
}

// Curl gives a command that sends a request.
func (k kept) Curl(ctx context.Context, id string, unmask bool) (string, error) {
	return ask(ctx, k.Here, func(c *local.Client) (string, error) { return c.Curl(ctx, id, unmask) })
}

// HAR writes an archive.
func (k kept) HAR(ctx context.Context, to io.Writer, q local.HARQuery) error {
	_, err := ask(ctx, k.Here, func(c *local.Client) (struct{}, error) { return struct{}{}, c.HAR(ctx, to, q) })
	return err
}

// Draft is a request as text.
func (k kept) Draft(ctx context.Context, id string) (requests.Draft, []string, error) {
	is, err := ask(ctx, k.Here, func(c *local.Client) (*draft.Draft, error) {
		e, err := c.Exchange(ctx, id, false)
		if err != nil {
			return nil, err
		}
		return draft.Of(ctx, c, &e, false)
	})
	if err != nil {
		return nil, nil, err
	}
	var notes []string
	switch {
	case is.Cut:
		notes = []string{"its body of " + look.Bytes(is.Size) + " is not all kept"}
	case is.Opaque:
		notes = []string{"its body of " + look.Bytes(is.Size) + " is nothing to edit, and was sent as it was"}
	}
	return &written{k, id, is}, notes, nil
}

// written is a request that somebody edits.
type written struct {
	kept
	id    string
	draft *draft.Draft
}

// Text is what is edited.
func (w *written) Text() []byte { return w.draft.Text }

// Send sends what was saved.
func (w *written) Send(ctx context.Context, saved []byte) (local.Replayed, error) {
	edited, _, err := w.draft.Read(saved)
	if err != nil {
		return local.Replayed{}, &mezu.Error{Code: mezu.CodeInvalid, Detail: fmt.Sprintf("what you saved: %v", err), Hint: "e once more", Cause: err}
	}
	if !edited.KeepBody && w.draft.Masked > 0 && bytes.Contains(edited.Body, []byte(mezu.Mask)) {
		return local.Replayed{}, &mezu.Error{Code: mezu.CodeInvalid, Detail: "the body has masked values, which would be sent as " + mezu.Mask, Hint: "mezu requests edit " + w.id[:min(8, len(w.id))] + " --unmask"}
	}
	return w.Replay(ctx, w.id, local.Replay{Edited: &edited})
}
