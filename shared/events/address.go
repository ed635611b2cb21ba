package events

import (
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// IsEmail reports whether s is one mail address in plain form (RFC 5321: at most 254 bytes, 64 before the @), without display
// name, comment, quotes or literal host, at a host that has a dot and is no IP address.
func IsEmail(s string) bool {
	if len(s) > 254 || !isToken(s) || strings.ContainsAny(s, `"<>()[],;:\`) {
		return false
	}
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s || parsed.Name != "" {
		return false
	}
	at := strings.LastIndexByte(s, '@')
	labels := strings.Split(s[at+1:], ".")
	if at > 64 || len(labels) < 2 || strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notInHost) {
			return false
		}
	}
	return true
}

func notInHost(r rune) bool {
	return r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}

// extension is the end of a phone number that libphonenumber reads as an extension.
var extension = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)[\pZ,;]*(?:ext(?:n|ension)?\b\.?|x|#)[\pZ:=]*\p{Nd}{1,8}\pZ*$`)
})

// isPhone accepts phone numbers as people write them, in the digits and punctuation of their script. The longest number has 15
// digits (ITU-T E.164); two more make room for a leading 00.
func isPhone(s string) bool {
	if utf8.RuneCountInString(s) > 40 {
		return false
	}
	number := s
	if at := extension().FindStringIndex(s); at != nil {
		number = s[:at[0]]
	}
	digits, plus := 0, false
	for _, r := range number {
		switch {
		case unicode.IsDigit(r):
			digits++
		case (r == '+' || r == '＋') && digits == 0 && !plus:
			plus = true
		case unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Pd, r) || strings.ContainsRune("./()−．／（）ー", r):
		default:
			return false
		}
	}
	return digits >= 4 && digits <= 17
}
