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
	refused := []string{
		"ada", "@example.com", "ada@", "ada@b@example.com", "ada@example.com,bob@example.com", "ada@example.com;bob@example.com",
		"ada@example.com bob@example.com", "staff:ada@example.com;", "Ada <ada@example.com>", "<ada@example.com>",
		"ada(work)@example.com", `"ada lovelace"@example.com`, `ada\@b@example.com`, "ada@localhost", "ada@example.com.",
		"ada@.example.com", "ada@example..com", "ada..b@example.com", "ada.@example.com", "ada@-example.com", "ada@ex_ample.com",
		"ada@[192.0.2.1]", "ada@192.0.2.1", "ada@example.com:25", "mailto:ada@example.com", long(255),
		strings.Repeat("a", 65) + "@example.com", " ada@example.com", "ada@example.com ", "ada@example.com\u00a0",
		"ada@example.com\r\nBcc: all@example.com", "ada@example.com\n", "ada@example.com%0a.x y", "ada@example.com\x00",
		"ada\u200b@example.com", "\u202emoc.elpmaxe@ada.b", "ada＠example.com",
	}
	for _, address := range accepted {
		c := contact()
		c.Email = address
		assert.Empty(t, faultsOf(c), address)
	}
	for _, address := range refused {
		c := contact()
		c.Email = address
		assertFault(t, c, "/email", "must be one e-mail address", address)
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
	refused := []string{
		"call me", "1-800-FLOWERS", "Tel. 030 1234567", "123", "123456789012345678", "+-()/. ", "++49 30 1234567",
		"49+30 1234567", "030 1234567, 030 7654321", "030 1234567;030 7654321", "030 1234567 / 030 7654321", "ext. 1234",
		"030 1234567 x1 x2", "030 1234567 x123456789", "ada@example.com", "030 12345\n67", "030\t1234567", "030 1234567\x00",
		"\u202a+49 30 1234567\u202c", "030" + strings.Repeat(" ", 40) + "1234567", "¹²³⁴⁵", "ⅠⅡⅢⅣ",
	}
	for _, phone := range accepted {
		c := contact()
		c.Phone = phone
		assert.Empty(t, faultsOf(c), phone)
	}
	for _, phone := range refused {
		c := contact()
		c.Phone = phone
		assertFault(t, c, "/phone", "must be one phone number", phone)
	}
}
