package notify_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
)

func compose(t *testing.T, m notify.Message) received {
	t.Helper()
	mail, err := notify.NewComposer("Überbar <notify@sipeat.example>", "staff@sipeat.example, owner@sipeat.example",
		func() time.Time { return noon })
	require.NoError(t, err)
	l, err := mail.Compose(m)
	require.NoError(t, err)
	raw, err := l.Raw()
	require.NoError(t, err)
	return received{to: l.To, raw: string(raw)}
}

func TestCompose(t *testing.T) {
	l := compose(t, notify.Message{ID: "n-1", Type: "contact", SubjectID: "c-1",
		Text: "Neuer Kontakt: Jürgen 👋\r\nzweite Zeile\n.\nEnde"})
	header, subject, text := l.parsed(t)
	assert.Equal(t, "SipEat contact: Neuer Kontakt: Jürgen 👋 zweite Zeile . Ende", subject)
	assert.Equal(t, "Neuer Kontakt: Jürgen 👋\nzweite Zeile\n.\nEnde\n\n-- \nSipEat\ncontact c-1\nnotification n-1\n", text)
	from, err := header.AddressList("From")
	require.NoError(t, err)
	assert.Equal(t, "Überbar", from[0].Name)
	for name, value := range map[string]string{
		"To": "<staff@sipeat.example>, <owner@sipeat.example>", "Date": "Mon, 23 Nov 2026 12:00:00 +0000",
		"Message-Id": "<notification.n-1@sipeat.example>", "References": "<contact.c-1@sipeat.example>",
		"Auto-Submitted": "auto-generated", "Mime-Version": "1.0", "Content-Type": "text/plain; charset=UTF-8",
	} {
		assert.Equal(t, value, header.Get(name), name)
	}
	assert.Empty(t, header.Get("User-Agent"))
	assert.Equal(t, l, compose(t, notify.Message{ID: "n-1", Type: "contact", SubjectID: "c-1",
		Text: "Neuer Kontakt: Jürgen 👋\r\nzweite Zeile\n.\nEnde"}))
	for line := range strings.SplitSeq(l.raw, "\r\n") {
		assert.LessOrEqual(t, len(line), 78, line)
		assert.NotContains(t, line, "\n", "a bare line feed")
	}
}

// The header has the same fields for any message.
func TestHeaderInjection(t *testing.T) {
	names := regexp.MustCompile(`(?m)^[A-Za-z-]+:`)
	head := func(l received) string { h, _, _ := strings.Cut(l.raw, "\r\n\r\n"); return h }
	want := names.FindAllString(head(compose(t, notify.Message{ID: "n-1", Type: "contact", SubjectID: "c-1", Text: "x"})), -1)
	require.Len(t, want, 11)
	for _, attack := range []string{
		"x\r\nBcc: evil@example.com", "x\nBcc: evil@example.com", "x\rBcc: evil@example.com", "x\r\n\r\nbody", "\r\n.\r\nQUIT\r\n",
		"\x00\x1b[31m", "a\u2028b\u0085Bcc: c",
		"=?utf-8?q?=0D=0ABcc:_evil@example.com?=", "<>,;:\"\\()@", strings.Repeat("ü", 5000), strings.Repeat("x", 5000), "\xff\xfe",
		"\u202eevil", "> @ b",
	} {
		l := compose(t, notify.Message{ID: attack, EventID: attack, Type: attack, SubjectID: attack, Text: attack})
		assert.Equal(t, want, names.FindAllString(head(l), -1), "%q", attack)
		header, subject, text := l.parsed(t)
		assert.Regexp(t, `^<notification\.sha256-[0-9a-f]{64}@sipeat\.example>$`, header.Get("Message-ID"))
		for _, r := range []string{"\r", "\x00", "\x1b", "\u202e"} {
			assert.NotContains(t, subject+text, r)
		}
		assert.NotContains(t, subject, "\n")
		assert.NotContains(t, header.Get("Subject"), "\x00")

		mail, err := notify.NewComposer("notify@sipeat.example", "staff@sipeat.example", time.Now)
		require.NoError(t, err)
		_, err = mail.Compose(notify.Message{ID: "n-1", Recipient: attack})
		assert.Equal(t, events.Invalid, events.KindOf(err), "%q as the recipient", attack)
		_, err = mail.Compose(notify.Message{ID: "n-1", Recipient: "a@b.co" + attack})
		assert.Equal(t, events.Invalid, events.KindOf(err), "%q behind the recipient", attack)
		_, err = notify.NewComposer("a@b.co"+attack, "staff@sipeat.example", time.Now)
		assert.Error(t, err, "%q as the sender", attack)
	}
}
