package mezu_test

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// refused checks that err is a CodeInvalid that names the field.
func refused(t *testing.T, what string, err error, field string) {
	t.Helper()
	var e *mezu.Error
	switch {
	case err == nil:
		t.Errorf("%s: accepted", what)
	case !errors.As(err, &e) || e.Code != mezu.CodeInvalid && e.Code != mezu.CodeConflict:
		t.Errorf("%s: %v is no refusal of input", what, err)
	case e.Field != field:
		t.Errorf("%s: field %q, want %q (%v)", what, e.Field, field, err)
	case e.Detail == "":
		t.Errorf("%s: no detail", what)
	}
}

func accepted(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// long is a string of n letters.
func long(n int) string { return strings.Repeat("a", n) }
