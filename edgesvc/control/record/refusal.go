package record

import (
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// StoreRefusal is what a caller is told of an error of the store, nil for any other error.
func StoreRefusal(err error) *mezu.Error {
	switch {
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the store can't be reached or written now", Hint: "try again in a moment"}
	case errors.Is(err, store.ErrTooLarge):
		return mezu.Errorf(mezu.CodeInvalid, "the change is too large for one transaction")
	}
	return nil
}

// StoreReason is StoreRefusal for callers who are known, of an error of the store that says for
// people why it can't do what it is asked for, and nil for any other error. It says the same as
// the control plane's /readyz, and nothing of where the store lies.
func StoreReason(err error) *mezu.Error {
	why, ok := errors.AsType[store.Refusal](err)
	if !ok {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the control plane can't do this now: " + why.Error(), Cause: err,
		Hint: "ask whoever runs it: its /readyz says the same, and ok once this is over"}
}
