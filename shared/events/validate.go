package events

import (
	"fmt"
	"strings"
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

// Whether a field may be empty.
const (
	required = true
	optional = false
)

// validator collects the faulty fields of a payload. Its methods check one field each and report its
// first fault, without repeating its value. A plain method per type is used because go-playground/validator took a fifth
// of a Lambda function's init and a third of its binary.
type validator struct{ faults []FieldError }

func (v *validator) fault(pointer, detail string) {
	v.faults = append(v.faults, FieldError{Pointer: pointer, Detail: detail})
}

// text is one line of at most limit characters.
func (v *validator) text(pointer, value string, limit int, must bool) {
	v.check(pointer, value, limit, must, isText, "must be one line of text: without line breaks, tabs and control characters")
}

// prose is text of at most limit characters that may have line breaks and tabs.
func (v *validator) prose(pointer, value string, limit int, must bool) {
	v.check(pointer, value, limit, must, isProse, "must be text: without control characters other than line breaks and tabs")
}

// id is compared, not read, so nothing in it may be invisible.
func (v *validator) id(pointer, value string, must bool) {
	v.check(pointer, value, maxID, must, isToken, visible(value, "must be an id: visible characters without spaces"))
}

func (v *validator) email(pointer, value string, must bool) {
	v.check(pointer, value, len(value), must, IsEmail,
		visible(value, "must be one e-mail address, such as ada@example.com, and nothing else"))
}

func (v *validator) phone(pointer, value string, must bool) {
	v.check(pointer, value, len(value), must, isPhone,
		visible(value, "must be one phone number of 4 to 17 digits, such as +49 30 1234567 or +49 30 1234567 ext. 12"))
}

func (v *validator) oneOf(pointer, value string, choices []string) {
	for _, choice := range choices {
		if value == choice {
			return
		}
	}
	v.fault(pointer, "must be one of: "+strings.Join(choices, ", "))
}

// entries is the length of a list from least to most.
func (v *validator) entries(pointer string, n, least, most int) {
	switch {
	case n < least:
		v.fault(pointer, fmt.Sprintf("needs at least %d entry", least))
	case n > most:
		v.fault(pointer, fmt.Sprintf("has more than %d entries: send at most %d", most, most))
	}
}

func (v *validator) time(pointer string, t Time) {
	if !t.writable() {
		v.fault(pointer, "must be a time in the years 0 to 9999")
	}
}

func (v *validator) check(pointer, value string, limit int, must bool, holds func(string) bool, detail string) {
	switch {
	case value == "" && must:
		v.fault(pointer, "is required")
	case value == "":
	case isBlank(value):
		v.fault(pointer, "is blank: it needs visible characters")
	case utf8.RuneCountInString(value) > limit:
		v.fault(pointer, fmt.Sprintf("is longer than %d characters: shorten it", limit))
	case !holds(value):
		v.fault(pointer, detail)
	}
}

// visible is detail, unless the fault cannot be seen.
func visible(value, detail string) string {
	if strings.ContainsFunc(value, func(r rune) bool { return r != ' ' && isHidden(r) }) {
		return "contains line breaks or invisible characters: type it instead of pasting it"
	}
	return detail
}
