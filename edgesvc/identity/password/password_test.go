package password_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/identity/password"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// refused checks that a password is refused for one reason, as a person is told it.
func refused(t *testing.T, p password.Policy, word string, want password.Reason) {
	t.Helper()
	err := p.Check(word)
	if got := password.ReasonOf(err); got != want {
		t.Errorf("%.40q is refused as %q, not %q", word, got, want)
		return
	}
	var e *mezu.Error
	if want != "" && (!errors.As(err, &e) || e.Code != mezu.CodeInvalid || e.Field != "password" || e.Detail == "") {
		t.Errorf("%.40q: the refusal is %#v", word, err)
	}
}

// What is long enough and not easily guessed is accepted, whatever it is made of.
func TestL12_LengthAndCharacters(t *testing.T) {
	long := strings.Repeat("tulip-mansion?", 74)
	for word, want := range map[string]password.Reason{
		"":                         password.TooShort,
		"tulip-mansion7":           password.TooShort, // 14
		"tulip-mansion7k":          "",                // 15
		"tu\u0308lip-mansion7":     password.TooShort, // 15 code points, 14 characters
		"tulip mansion over green": "",
		"👩‍👩‍👧🐎🔋📎🥝🧩🪐🎷🧵🦔🛶": "",
		"tulip\x00mansion\x007":  "",
		"    tulip mansion    ":  "",
		long[:64]:                "",
		long[:1000]:              "",
		long[:1024]:              "",
		long[:1025]:              password.TooLong,
		"tulip-mansion\xff\xfe7": password.NotUTF8,
		// One code point that becomes 18: what counts is what is hashed.
		strings.Repeat("\ufdfa", 60): password.TooLong,
	} {
		refused(t, password.Policy{}, word, want)
	}
	refused(t, password.Policy{MinLength: 8}, "kx7%tqz", password.TooShort)
	refused(t, password.Policy{MinLength: 8}, "kx7%tqzv", "")
	refused(t, password.Policy{MinLength: 20}, "tulip-mansion7k", password.TooShort)
	if (password.Policy{}).Least() != mezu.MinPasswordLength || (password.Policy{MinLength: 9}).Least() != 9 || (password.Policy{MinLength: -1}).Least() != 8 {
		t.Error("the least is not what the policy says")
	}
}

// A megabyte is refused by its length alone: nothing of its size is made.
func TestL12_MegabyteCostsNothing(t *testing.T) {
	huge := strings.Repeat("ﷺ", 1<<20/3)
	refused(t, password.Policy{}, huge, password.TooLong)
	if n := testing.AllocsPerRun(10, func() { _, _ = password.Normalize(huge) }); n > 10 {
		t.Errorf("refusing a megabyte takes %v allocations", n)
	}
	// The bound in bytes refuses nothing that has few enough characters: Hangul takes the
	// most bytes in its long form.
	syllables := strings.Repeat("\u1112\u1161\u11ab", password.MaxLength)
	if got, err := password.Normalize(syllables); err != nil || utf8.RuneCountInString(got) != password.MaxLength {
		t.Errorf("%d characters of nine bytes: %v", password.MaxLength, err)
	}
}

// Whatever keyboard a password is typed on, it is the same one.
func TestL12_OneFormOfAll(t *testing.T) {
	for _, pair := range [][2]string{
		{"cafe\u0301 au lait", "caf\u00e9 au lait"},
		{"ｔｕｌｉｐ", "tulip"},
		{"tulip\u00a0mansion", "tulip mansion"},
	} {
		a, errA := password.Normalize(pair[0])
		b, errB := password.Normalize(pair[1])
		if errA != nil || errB != nil || a != b {
			t.Errorf("%q and %q become %q and %q", pair[0], pair[1], a, b)
		}
	}
	// Case, blanks and what can't be seen are kept.
	for _, s := range []string{"Tulip", " tulip ", "tulip\x00", "tulip\u200d"} {
		if got, err := password.Normalize(s); err != nil || got != s {
			t.Errorf("%q becomes %q", s, got)
		}
	}
}

func TestL12_CommonOnes(t *testing.T) {
	p := password.Policy{MinLength: 8}
	for word, want := range map[string]password.Reason{
		"baseball":              password.Common,
		"BaseBall":              password.Common,
		"ｂａｓｅｂａｌｌ":              password.Common,
		"baseball1":             password.Common,
		"Baseball20261231":      password.Common,
		"trustno1":              password.Common,
		"trustno17":             password.Common,
		"monkey77031526":        password.Common,
		"baseballbaseball":      password.Repeated,
		"BaseballbaseballBASEB": "", // cut off, which is another password
		"monkeymonkeymonkey":    password.Repeated,
		"monkeymonkeymonkey99":  password.Repeated,
		"trustno1trustno1":      password.Repeated,
		"kq7zkq7zkq7z":          password.Repeated, // four characters
		"kq7zw%3mkq7zw%3m":      "",                // eight
		"8305714692":            "",                // 8305 is no word with digits behind
		"11083957264":           "",
		"baseballtulip":         "",
	} {
		refused(t, p, word, want)
	}
	refused(t, password.Policy{}, "baseballbaseball", password.Repeated)
	refused(t, password.Policy{}, "football19700101", password.Common)
}

func TestL12_Runs(t *testing.T) {
	for word, want := range map[string]password.Reason{
		"abcdefghijklmnop":       password.Run,
		"ponmlkjihgfedcba":       password.Run,
		"AbCdEfGhIjKlMnOp":       password.Run,
		"123456789012345":        password.Run,
		"098765432109876":        password.Run,
		"qwertyuiopasdfghjkl":    password.Run,
		"qwertzuiopüasdf":        password.Run,
		"azertyuiopqsdfg":        password.Run,
		"5tgb6yhn7ujm8ik,":       password.Run,
		"aaaaaaaaaaaaaaa":        password.Run,
		"éééééééééééééééé":       password.Run,
		"aaaabbbbccccdddd":       password.Run,
		"abcdefgh12345678":       password.Run,
		"abcdefghij-tulip":       password.Run, // six beside it
		"abcdcbabcdcbabcd":       password.Run,
		"abcdefgh tulip mansion": "",
		"tulip mansion 1234":     "",
		"property in the west":   "",
	} {
		refused(t, password.Policy{}, word, want)
	}
}

func TestL12_WordsOfTheContext(t *testing.T) {
	p := password.Policy{Refused: []string{"petra.mueller@flowers.example", "Petra Müller", "Zoë", "tulipshop", "tulipshop.edge.example"}}
	for word, want := range map[string]password.Reason{
		"petra.mueller@flowers.example": password.Context,
		"petramueller2026":              password.Context,
		"PetraMu\u0308ller2026":         password.Context,
		"tulipshoptulipshop":            password.Context,
		"tulipshop-flowers":             password.Context,
		"TULIPSHOP!petra!":              password.Context,
		"tulipshop1234567":              password.Context, // a run is no more than the word
		"tulipshoptulipsho":             "",               // eight beside it
		"mezusphere-2026!":              password.Context,
		"zoë-kx7qwmv3tulip":             "", // shorter than four letters
		"petra likes green mansions":    "",
	} {
		refused(t, p, word, want)
	}
	refused(t, password.Policy{}, "petramueller2026", "")
}

func TestReasonOf(t *testing.T) {
	if password.ReasonOf(nil) != "" || password.ReasonOf(mezu.Invalid("password", "is wrong")) != "" {
		t.Error("an error that is no refusal has a reason")
	}
	if len(password.Reasons()) != 7 {
		t.Error("a reason is missing")
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"", "passwordpassword12", "e\u0301", "\ufdfa", "\xff", "aaaa\x00", "1qaz2wsx", "tulipshop", strings.Repeat("\u0300", 40)} {
		f.Add(s, "petra@flowers.example", 8)
	}
	f.Fuzz(func(t *testing.T, word, context string, least int) {
		err := password.Policy{MinLength: least, Refused: []string{context}}.Check(word)
		once, errOnce := password.Normalize(word)
		if errOnce != nil {
			if err == nil || password.ReasonOf(errOnce) == "" {
				t.Fatalf("%q is refused by Normalize (%v) and not by Check (%v)", word, errOnce, err)
			}
			return
		}
		if again, errAgain := password.Normalize(once); errAgain != nil || again != once {
			t.Fatalf("%q becomes %q, and that %q, %v", word, once, again, errAgain)
		}
		if again := (password.Policy{MinLength: least, Refused: []string{context}}).Check(once); password.ReasonOf(again) != password.ReasonOf(err) {
			t.Fatalf("%q: %v, in its normal form %v", word, err, again)
		}
	})
}
