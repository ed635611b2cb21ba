package events

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// The limits of what is written: characters of a text, entries of a list.
const (
	maxID      = 128
	maxName    = 200 // of a person, company or machine
	maxPlace   = 120 // a city or country
	maxAddress = 400
	maxMessage = 4000
	maxDrinks  = 20
	maxDrink   = 120
)

const (
	required = true
	optional = false
)

// Validate returns every faulty field of a payload that is to be written.
func Validate(p Payload) []FieldError {
	var v validator
	p.check(&v)
	return v.faults
}

// Rule is what one field must satisfy in an event that is written.
type Rule struct {
	Pointer  string // into the payload; "/drinksList/0" stands for each entry of the list
	Kind     RuleKind
	Required bool     // neither absent, null nor empty
	Max      int      // characters or entries; 0 = see Kind
	Values   []string // of OneOf
}

// RuleKind is what a field holds.
type RuleKind string

// The kinds. Texts, ids, addresses and phone numbers that are not empty have visible characters.
const (
	Line      RuleKind = "line"      // one line of text, without control characters
	Prose     RuleKind = "prose"     // text with line breaks and tabs
	ID        RuleKind = "id"        // visible characters without spaces
	Email     RuleKind = "email"     // see [IsEmail]
	Phone     RuleKind = "phone"     // 4 to 17 digits with punctuation and an extension
	OneOf     RuleKind = "oneOf"     // one of Values
	List      RuleKind = "list"      // 1 entry or more
	Timestamp RuleKind = "timestamp" // RFC 3339 in the years 0 to 9999
)

// validator collects the faulty fields of a payload. Its methods check one field each and report its first fault, without
// repeating its value. A plain method per type is used because go-playground/validator took a fifth
// of a Lambda function's init and a third of its binary.
type validator struct {
	faults []FieldError
	rules  *[]Rule // collects the rules, and checks nothing; nil = checks
}

func (v *validator) fault(r Rule, broken bool, detail string) {
	if v.rules != nil {
		*v.rules = append(*v.rules, r)
	} else if broken {
		v.faults = append(v.faults, FieldError{Pointer: r.Pointer, Detail: detail})
	}
}

// entries is a list of 1 to limit entries, each of which check checks.
func (v *validator) entries(pointer string, list []string, limit int, check func(pointer, entry string)) {
	v.fault(Rule{Pointer: pointer, Kind: List, Required: required, Max: limit}, len(list) < 1 || len(list) > limit,
		"must have 1 to "+strconv.Itoa(limit)+" entries")
	if v.rules != nil {
		list = []string{""}
	}
	for i, entry := range list[:min(len(list), limit)] {
		check(pointer+"/"+strconv.Itoa(i), entry)
	}
}

func (v *validator) oneOf(pointer, value string, values []string) {
	v.fault(Rule{Pointer: pointer, Kind: OneOf, Required: required, Values: values}, !slices.Contains(values, value),
		"must be one of: "+strings.Join(values, ", "))
}

func (v *validator) time(pointer string, t Time) {
	v.fault(Rule{Pointer: pointer, Kind: Timestamp, Required: required}, !t.writable(), "must be a time in the years 0 to 9999")
}

// texts are the kinds of text: what holds for one that is not empty, and what to say where it does not.
var texts = map[RuleKind]struct {
	holds  func(string) bool
	detail string
}{
	Line:  {isText, "must be one line of text: without line breaks, tabs and control characters"},
	Prose: {isProse, "must be text: without control characters other than line breaks and tabs"},
	ID:    {isToken, "must be an id: visible characters without spaces"},
	Email: {IsEmail, "must be one e-mail address, such as ada@example.com, without spaces and invisible characters"},
	Phone: {isPhone, "must be one phone number of 4 to 17 digits, such as +49 30 1234567 or +49 30 1234567 ext. 12, " +
		"without other text and invisible characters"},
}

// text checks a text of at most limit characters; 0 = the kind's own limit.
func (v *validator) text(kind RuleKind, pointer, value string, limit int, must bool) {
	r := Rule{Pointer: pointer, Kind: kind, Required: must, Max: limit}
	switch {
	case v.rules != nil:
		v.fault(r, false, "")
	case value == "":
		v.fault(r, r.Required, "is required")
	case isBlank(value):
		v.fault(r, true, "is blank: it needs visible characters")
	case r.Max > 0 && utf8.RuneCountInString(value) > r.Max:
		v.fault(r, true, fmt.Sprintf("is longer than %d characters: shorten it", r.Max))
	default:
		v.fault(r, !texts[kind].holds(value), texts[kind].detail)
	}
}

func isText(s string) bool {
	return !isBlank(s) && utf8.ValidString(s) && !strings.ContainsFunc(s, IsControl)
}

func isProse(s string) bool { return isText(breaks.Replace(s)) }

var breaks = strings.NewReplacer("\n", " ", "\r", " ", "\t", " ")

// isToken accepts text that is compared and not read, such as an id, so nothing in it may be invisible.
func isToken(s string) bool {
	return isText(s) && !strings.ContainsFunc(s, isHidden)
}

func isBlank(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !isHidden(r) && !unicode.IsMark(r) })
}

// IsControl accepts the characters that change how a line is shown or parsed: controls (C0, C1), line and paragraph
// separators, and the bidirectional overrides that make text look like other text (Unicode TR 36). Not among them are the
// joiners that Persian, Indic scripts and emoji need and the direction marks of Hebrew and Arabic.
func IsControl(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

func isHidden(r rune) bool {
	return unicode.IsSpace(r) || IsControl(r) || unicode.Is(unicode.Cf, r) ||
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || r == '\u2800' // the empty braille pattern
}

// pattern compiles a regular expression when it is first needed, so that no start of a Lambda function waits for it.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

const (
	word  = `[^"(),:;<>@[\]\\. ]+`
	alnum = "[^\\x00-/:-@\\[-`{-\\x7f]" // or not ASCII
	label = alnum + `*(-+` + alnum + `+)*`
	marks = `[\p{Zs}\p{Pd}./()−．／（）ー]*`
)

var email = pattern(`^` + word + `(\.` + word + `)*@(` + alnum + label + "\\.)+[^\\x00-@\\[-`{-\\x7f]" + label + `$`)

// IsEmail reports whether s is one mail address in plain form (RFC 5321: at most 254 bytes, 64 before the @), without display
// name, comment, quotes or literal host, at a host that has a dot and is no IP address.
func IsEmail(s string) bool {
	return len(s) <= 254 && strings.IndexByte(s, '@') <= 64 && isToken(s) && email().MatchString(s)
}

var phone = pattern(`^` + marks + `[+＋]?(` + marks + `\p{Nd}){4,17}` + marks +
	`([\pZ,;]*(?i:ext(n|ension)?\.?|x|#)[\pZ:=]*\p{Nd}{1,8}\pZ*)?$`)

// isPhone accepts phone numbers as people write them, in the digits and punctuation of their script, with an extension in the
// forms that libphonenumber reads. The longest number has 15 digits (ITU-T E.164); two more make room for a leading 00.
func isPhone(s string) bool { return utf8.RuneCountInString(s) <= 40 && phone().MatchString(s) }
