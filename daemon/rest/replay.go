package rest

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// Replayer sends recorded requests again.
type Replayer interface {
	// Replay gives the ids of the exchanges that it has made. What r says is valid by itself.
	Replay(ctx context.Context, id string, r local.Replay) ([]string, error)
}

func (s *Server) replay(w http.ResponseWriter, r *http.Request) error {
	shown, _, err := s.asked(r)
	if err != nil {
		return err
	}
	if s.cfg.Replayer == nil {
		return mezu.Errorf(mezu.CodeNotFound, "this daemon sends no request again")
	}
	var re local.Replay
	if err := s.readUpTo(w, r, local.MaxReplayRequest, true, &re); err != nil {
		return err
	}
	if err := judgeReplay(&re); err != nil {
		return err
	}
	ids, err := s.cfg.Replayer.Replay(r.Context(), r.PathValue("id"), re)
	if err != nil {
		return err
	}
	out := local.Replayed{Items: make([]mezu.Exchange, 0, len(ids))}
	for _, id := range ids {
		// One of many may have made room for the others already.
		if x, err := shown.Row(id); err == nil {
			out.Items = append(out.Items, x)
		}
	}
	s.answer(w, http.StatusOK, out)
	return nil
}

// Bounds of a request that is sent again: those of what a visitor may send.
const (
	maxReplayFields = 200
	maxReplayTarget = 16 << 10
)

// judgeReplay refuses what no request can be.
func judgeReplay(r *local.Replay) error {
	if r.Times < 0 || r.Times > local.MaxReplays {
		return mezu.Invalid("times", "is a number from 1 to %d", local.MaxReplays)
	}
	if err := judgeFields("set_header", r.SetHeader); err != nil {
		return err
	}
	e := r.Edited
	switch {
	case e == nil:
		return nil
	case !mezu.ValidHeaderName(e.Method) || len(e.Method) > mezu.MaxMethodLength:
		return mezu.Invalid("edited.method", "is no method of HTTP")
	case !strings.HasPrefix(e.Target, "/") || strings.ContainsFunc(e.Target, func(c rune) bool { return c <= ' ' || c == '#' || c == 0x7f }):
		return mezu.Invalid("edited.target", "is a path with a query, and begins with a slash")
	case len(e.Target) > maxReplayTarget:
		return mezu.Invalid("edited.target", "has at most %d bytes", maxReplayTarget)
	case e.KeepBody && len(e.Body) > 0:
		return mezu.Invalid("edited.body", "is given, or the recorded one is kept")
	case len(e.Body) > local.MaxReplayBody:
		return mezu.Errorf(mezu.CodeBodyTooLarge, "a request that is sent again has a body of at most %d bytes", local.MaxReplayBody)
	}
	return judgeFields("edited.fields", e.Fields)
}

func judgeFields(of string, fields []mezu.ExchangeField) error {
	if len(fields) > maxReplayFields {
		return mezu.Invalid(of, "has at most %d fields", maxReplayFields)
	}
	for i, f := range fields {
		at := of + "[" + strconv.Itoa(i) + "]"
		if !mezu.ValidHeaderName(f.Name) {
			return mezu.Invalid(at+".name", "is no name of a field")
		}
		if !mezu.ValidHeaderValue(f.Value) {
			return mezu.Invalid(at+".value", "has a control character")
		}
	}
	return nil
}
