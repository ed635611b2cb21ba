package events_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEmail(t *testing.T) {
	long := func(bytes int) string { // 64 before the @, labels of 63 behind it
		host := strings.Repeat(strings.Repeat("h", 63)+".", 4)
		return strings.Repeat("a", 64) + "@" + host[:bytes-64-1-3] + ".de"
	}
	accepted := []string{
		"ada@example.com", "ada+vending@example.com", "o'connor@example.ie", "a@b.co", "first.last@sub.domain.example",
		"x_y-z@example.museum",
		"{curly}|pipe=1!#$%&*/?^`~@example.com", "ADA@EXAMPLE.COM", "1234567890@qq.com", "info@münchen.example",
		"用户@例子.广告", "квіточка@пошта.укр",
		"ada@xn--mnchen-3ya.example", "आदा@उदाहरण.भारत", "a@3com.com", "ada@a-b.example", long(254),
	}
	refused := map[string]string{
		"none":             "ada",
		"no local part":    "@example.com",
		"no host":          "ada@",
		"two ats":          "ada@b@example.com",
		"two, comma":       "ada@example.com,bob@example.com",
		"two, semicolon":   "ada@example.com;bob@example.com",
		"two, space":       "ada@example.com bob@example.com",
		"group":            "staff:ada@example.com;",
		"display name":     "Ada <ada@example.com>",
		"angle brackets":   "<ada@example.com>",
		"comment":          "ada(work)@example.com",
		"quotes":           `"ada lovelace"@example.com`,
		"backslash":        `ada\@b@example.com`,
		"no dot":           "ada@localhost",
		"trailing dot":     "ada@example.com.",
		"leading dot":      "ada@.example.com",
		"double dot":       "ada@example..com",
		"dots before @":    "ada..b@example.com",
		"dot before @":     "ada.@example.com",
		"hyphen at edge":   "ada@-example.com",
		"underscore host":  "ada@ex_ample.com",
		"literal host":     "ada@[192.0.2.1]",
		"IP address":       "ada@192.0.2.1",
		"port":             "ada@example.com:25",
		"mailto":           "mailto:ada@example.com",
		"255 bytes":        long(255),
		"65 before @":      strings.Repeat("a", 65) + "@example.com",
		"space before":     " ada@example.com",
		"space behind":     "ada@example.com ",
		"NBSP behind":      "ada@example.com\u00a0",
		"header injection": "ada@example.com\r\nBcc: all@example.com",
		"newline":          "ada@example.com\n",
		"encoded newline":  "ada@example.com%0a.x y",
		"NUL":              "ada@example.com\x00",
		"zero width":       "ada\u200b@example.com",
		"override":         "\u202emoc.elpmaxe@ada.b",
		"full-width at":    "ada＠example.com",
	}
	for _, address := range accepted {
		c := contact()
		c.Email = address
		assert.Empty(t, faultsOf(c), address)
	}
	for why, address := range refused {
		c := contact()
		c.Email = address
		assertFault(t, c, "/email", "must be one e-mail address", why)
	}
}

func TestPhone(t *testing.T) {
	accepted := []string{
		"+49 (0)30 123-45", "+49 30 1234567", "(212) 555-0142", "+1.212.555.0142", "030/1234567",
		"0049301234567", "911 4", "20 15", "+290 21234",
		"(+33) 1 23 45 67 89", "+1\u00a0212\u00a0555\u00a00142", "+1 212–555‑0142",
		"０３－１２３４－５６７８", "＋８１（３）１２３４", "٠٢٠ ١٢٣٤٥٦٧",
		"०११ २३४५ ६७८९",
		"+1 212 555 0142 ext. 12", "+1 212 555 0142 x12", "+1 212 555 0142, extension 12", "212-555-0142#12", "+1 212 555 0142;ext=12",
		"011 44 1234 567890", "+123456789012345", " +49 30 1234567 ",
	}
	refused := map[string]string{
		"words":           "call me",
		"vanity":          "1-800-FLOWERS",
		"label":           "Tel. 030 1234567",
		"too short":       "123",
		"too long":        "123456789012345678",
		"all punctuation": "+-()/. ",
		"two plus":        "++49 30 1234567",
		"plus inside":     "49+30 1234567",
		"two, comma":      "030 1234567, 030 7654321",
		"two, semicolon":  "030 1234567;030 7654321",
		"two, long":       "030 1234567 / 030 7654321",
		"only extension":  "ext. 1234",
		"two extensions":  "030 1234567 x1 x2",
		"long extension":  "030 1234567 x123456789",
		"e-mail":          "ada@example.com",
		"line break":      "030 12345\n67",
		"tab":             "030\t1234567",
		"NUL":             "030 1234567\x00",
		"pasted, hidden":  "\u202a+49 30 1234567\u202c",
		"much space":      "030" + strings.Repeat(" ", 40) + "1234567",
		"superscripts":    "¹²³⁴⁵",
		"roman":           "ⅠⅡⅢⅣ",
	}
	for _, phone := range accepted {
		c := contact()
		c.Phone = phone
		assert.Empty(t, faultsOf(c), phone)
	}
	for why, phone := range refused {
		c := contact()
		c.Phone = phone
		assertFault(t, c, "/phone", "must be one phone number", why)
	}
}
