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
