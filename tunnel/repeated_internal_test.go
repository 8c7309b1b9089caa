package tunnel

import (
	"errors"
	"log/slog"
	"testing"
	"time"
)

// TestRepeatedErrors: the log of an edge that is away for hours has room for something else.
func TestRepeatedErrors(t *testing.T) {
	now := time.Now()
	refused, silent := errors.New("refused"), errors.New("silent")
	var r repeated
	for i, c := range []struct {
		err   error
		after time.Duration
		want  slog.Level
	}{
		{refused, 0, slog.LevelInfo}, {refused, time.Second, slog.LevelDebug}, {silent, time.Second, slog.LevelInfo}, {refused, time.Second, slog.LevelInfo},
		{refused, repeatEvery - time.Second, slog.LevelDebug}, {refused, time.Second, slog.LevelInfo}, {refused, -time.Hour, slog.LevelInfo},
	} {
		now = now.Add(c.after)
		if got := r.level(c.err, now); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}
