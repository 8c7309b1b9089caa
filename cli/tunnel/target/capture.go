package target

import (
	"fmt"
	"mime"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/namedfile"
)

// Capturing is the target of a tunnel without a workload.
func Capturing(answer *mezu.TunnelCapture) Target {
	return Target{Shown: mezu.CaptureOnly, TunnelTarget: mezu.TunnelTarget{Target: mezu.TargetCapture, Capture: answer}}
}

// Answer reads STATUS[:FILE], which a tunnel without a workload answers with. The media type is
// that of the file's extension, else of its first bytes.
func Answer(dir, text string) (*mezu.TunnelCapture, error) {
	a := &mezu.TunnelCapture{Status: http.StatusOK}
	if text == "" {
		return a, nil
	}
	status, file, with := strings.Cut(text, ":")
	var err error
	if a.Status, err = strconv.Atoi(status); err != nil || with && file == "" {
		e := exit.Usagef("--answer is STATUS or STATUS:FILE, not %q", text)
		e.Hint = "mezu tunnel --capture-only --answer 202:answer.json"
		return nil, e
	}
	if with {
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		if a.Body, err = namedfile.Read(file, mezu.MaxCaptureBody); err != nil {
			return nil, fmt.Errorf("reading the answer: %w", err)
		}
		if a.MediaType = mime.TypeByExtension(filepath.Ext(file)); a.MediaType == "" && len(a.Body) > 0 {
			a.MediaType = http.DetectContentType(a.Body)
		}
	}
	t := Capturing(a)
	if err := t.Validate(); err != nil {
		return nil, exit.Usagef("--answer: %s", strings.TrimPrefix(err.Error(), "capture."))
	}
	return a, nil
}
