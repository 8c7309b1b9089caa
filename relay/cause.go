package relay

import (
	"bytes"
	"errors"
	"slices"
	"strconv"

	"github.com/mezusphere/mezu"
)

// CauseOf is why an exchange ended with err, or empty if it did not end badly.
func CauseOf(err error) mezu.Cause {
	if err == nil {
		return "" // before the targets below, which cost an allocation each
	}
	var cut *mezu.Cut
	var refusal *mezu.Error
	switch {
	case errors.As(err, &cut):
		return cut.Cause
	case errors.Is(err, ErrClientGone):
		return mezu.CauseClientGone
	case errors.As(err, &refusal):
		return refusal.Code.Cause()
	}
	return mezu.CauseInternal
}

// rule is the rule of HTTP that a body broke. That of a head is a *mezu.Error's
// detail.
type rule struct {
	text string
	err  error // what a section of fields had wrong; may be nil
}

func (r *rule) Error() string {
	if r.err != nil {
		return ErrBody.Error() + ": " + r.err.Error()
	}
	return ErrBody.Error() + ": " + r.text
}

func (r *rule) Is(target error) bool { return target == ErrBody }

// brokenBody is the error of a body that broke a rule.
func brokenBody(text string) error { return &rule{text: text} }

// brokenTrailer is the same for its trailer section, whose own error names the
// field, too.
func brokenTrailer(err error) error {
	return &rule{text: "in its trailer section " + Rule(err), err: err}
}

// Rule names the rule of HTTP that a malformed message broke, in words that may
// go to whoever asked: nothing of the message is in them. It is empty if err names
// none.
func Rule(err error) string {
	var cut *mezu.Cut
	var body *rule
	var head *mezu.Error
	switch {
	case errors.As(err, &cut):
		return Rule(cut.Err)
	case errors.As(err, &body):
		return body.text
	case errors.As(err, &head):
		return head.Detail
	}
	return ""
}

// withRule adds the rule that err names to a sentence.
func withRule(sentence string, err error) string {
	if r := Rule(err); r != "" {
		return sentence + ": " + r
	}
	return sentence
}

// BadResponse is the answer to a response that broke a rule of HTTP, or that of
// another end of the tunnel.
func BadResponse(sentence string, cause error) error {
	return &mezu.Error{Code: mezu.CodeWorkloadBadResponse, Detail: withRule(sentence, cause), Cause: cause}
}

// maxShownName bounds what a log shows of a field's name.
const maxShownName = 64

// malformedField is malformed with the field's name, which goes to logs only: it is
// what a peer sent.
func malformedField(detail string, name []byte) error {
	shown := strconv.QuoteToASCII(string(name[:min(len(name), maxShownName)]))
	return &mezu.Error{Code: mezu.CodeNotCanonical, Detail: detail, Field: shown}
}

// cutMark begins the line that a Warpgate writes where the next chunk's would be,
// when it can't finish a response: «!», the cause, CRLF. It is no chunk line, so that
// whoever doesn't know it takes the response for cut, which it is.
const cutMark = '!'

// appendCut writes that line.
func appendCut(dst []byte, cause mezu.Cause) []byte {
	dst = append(dst, cutMark)
	dst = append(dst, cause...)
	return append(dst, "\r\n"...)
}

// cutBy reads it without its mark. A cause that is none of the closed set says that
// the Warpgate cut the response, and no more.
func cutBy(line []byte) error {
	cause := mezu.Cause(bytes.TrimSuffix(line, []byte{'\r'}))
	if !slices.Contains(mezu.Causes(), cause) {
		cause = mezu.CauseWarpgateCut
	}
	return &mezu.Cut{Cause: cause, Err: errors.New("the Warpgate says so")}
}
