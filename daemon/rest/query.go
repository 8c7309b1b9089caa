package rest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// params are the queries of a request.
type params struct{ values url.Values }

// readParams takes the queries that an operation has, each once but local.QueryID.
func readParams(r *http.Request, names ...string) (params, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return params{}, mezu.Invalid("", "the query is malformed")
	}
	for name, of := range values {
		switch {
		case len(names) == 0:
			return params{}, mezu.Invalid("", "this operation has no query")
		case !slices.Contains(names, name):
			return params{}, mezu.Invalid(name, "the query has %s, and nothing else", strings.Join(names, ", "))
		case len(of) > 1 && name != local.QueryID:
			return params{}, mezu.Invalid(name, "is given once")
		}
	}
	return params{values}, nil
}

func (p params) text(name string) string { return p.values.Get(name) }

// number is a number from first to last, or otherwise if it is not given.
func (p params) number(name string, first, last, otherwise int) (int, error) {
	text, ok := p.values[name]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text[0])
	if err != nil || n < first || n > last {
		return 0, mezu.Invalid(name, "is a number from %d to %d", first, last)
	}
	return n, nil
}

// revision is a number of any size, zero if it is not given.
func (p params) revision(name string) (uint64, error) {
	text, ok := p.values[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseUint(text[0], 10, 64)
	if err != nil {
		return 0, mezu.Invalid(name, "is the revision of an answer")
	}
	return n, nil
}

// filter is that of the request.
func (p params) filter() (string, error) {
	text := p.text(local.QueryFilter)
	if len(text) > local.MaxFilter {
		return "", mezu.Invalid(local.QueryFilter, "has at most %d bytes", local.MaxFilter)
	}
	return text, nil
}

// unmask says whether secrets are shown.
func (p params) unmask() (bool, error) {
	text, ok := p.values[local.QueryUnmask]
	if !ok {
		return false, nil
	}
	if text[0] != "true" && text[0] != "false" {
		return false, mezu.Invalid(local.QueryUnmask, "is true or false")
	}
	return text[0] == "true", nil
}

// form is that of bytes.
func (p params) form() (local.Form, error) {
	form := local.Form(p.text(local.QueryForm))
	switch form {
	case "":
		return local.FormRaw, nil
	case local.FormRaw, local.FormDecoded, local.FormPretty, local.FormHex:
		return form, nil
	}
	return "", mezu.Invalid(local.QueryForm, "is %s", fmt.Sprintf("%s, %s, %s or %s", local.FormRaw, local.FormDecoded, local.FormPretty, local.FormHex))
}
