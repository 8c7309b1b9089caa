package storetest

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

// The checker must be able to say no: to a stale read, a lost write, a swap that two
// won, and a refusal without a reason.
func TestLinearModel(t *testing.T) {
	none := [linearKeys]int64{-1, -1}
	write := func(from, till int64, checks [linearKeys]int64, v int, conflict bool) porcupine.Operation {
		return porcupine.Operation{Input: linearInput{get: -1, checks: checks, writes: [linearKeys]int{v, 0}}, Output: linearOutput{conflict: conflict}, Call: from, Return: till}
	}
	read := func(from, till int64, c cell) porcupine.Operation {
		return porcupine.Operation{Input: linearInput{get: 0}, Output: linearOutput{read: c}, Call: from, Return: till}
	}
	for name, c := range map[string]struct {
		history []porcupine.Operation
		want    porcupine.CheckResult
	}{
		"in turn":               {[]porcupine.Operation{write(0, 1, none, 1, false), read(2, 3, cell{1, 1})}, porcupine.Ok},
		"at once, either":       {[]porcupine.Operation{write(0, 3, none, 1, false), read(1, 2, cell{})}, porcupine.Ok},
		"stale read":            {[]porcupine.Operation{write(0, 1, none, 1, false), read(2, 3, cell{})}, porcupine.Illegal},
		"step back":             {[]porcupine.Operation{write(0, 9, none, 1, false), read(2, 3, cell{1, 1}), read(4, 5, cell{})}, porcupine.Illegal},
		"lost write":            {[]porcupine.Operation{write(0, 1, none, 1, false), write(2, 3, none, 2, false), read(4, 5, cell{1, 2})}, porcupine.Illegal},
		"two won":               {[]porcupine.Operation{write(0, 3, [2]int64{0, -1}, 1, false), write(1, 2, [2]int64{0, -1}, 2, false)}, porcupine.Illegal},
		"one won":               {[]porcupine.Operation{write(0, 3, [2]int64{0, -1}, 1, false), write(1, 2, [2]int64{0, -1}, 2, true)}, porcupine.Ok},
		"refused for no reason": {[]porcupine.Operation{write(0, 1, [2]int64{0, -1}, 1, true)}, porcupine.Illegal},
	} {
		if got := porcupine.CheckOperationsTimeout(linearModel(), c.history, checkTime); got != c.want {
			t.Errorf("%s: %v; want %v", name, got, c.want)
		}
	}
}
