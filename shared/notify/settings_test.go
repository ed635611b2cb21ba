package notify_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/settings"
)

func TestAllChannels(t *testing.T) {
	s := mailSettings("smtps://" + escaped + "@mail.example.com")
	s.Channels, s.DiscordWebhook = " log, smtp,discord,ses ", "https://discord.com/api/v10/webhooks/123/abc"
	channels, err := notify.New(s, notify.Options{SES: func(m notify.Composer) (notify.Notifier, error) {
		assert.Equal(t, "notify@sipeat.example", m.From.Address)
		return failing(nil), nil
	}})
	require.NoError(t, err)
	var names []string
	for _, c := range channels {
		names = append(names, c.Name)
	}
	assert.Equal(t, []string{"log", "smtp", "discord", "ses"}, names)
}

func TestFaultsAreReportedTogether(t *testing.T) {
	_, err := notify.New(settings.Notify{Channels: "smtp,discord,smtp://u:canary@h,log,log", To: "x"}, notify.Options{})
	require.Error(t, err)
	for _, name := range []string{"NOTIFY_FROM: ", "NOTIFY_TO: entry 1", "SMTP_URL: ", "DISCORD_WEBHOOK: ", "NOTIFY: entry 3",
		"NOTIFY: entry 5"} {
		assert.ErrorContains(t, err, name)
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		assert.Contains(t, line, "for example", line)
	}
	assert.NotContains(t, err.Error(), "canary")
	_, err = notify.New(settings.Notify{Channels: ","}, notify.Options{})
	assert.ErrorContains(t, err, "NOTIFY: names no channel")
}

func TestSMTPURL(t *testing.T) {
	for _, url := range []string{
		"", "mail.example.com", "http://h", "smtp://", "smtp://u@h", "smtp://:canary@h", "smtp://u:canary@h:x",
		"smtp://u:canary@h:99999", "smtp://u:can/ary@h", "smtp://u:can?ary@h", "smtp://u:can#ary@h", "smtp://u:canary@h?canary=1",
		"smtp://u:canary@h?tls=none", "smtp://h?tls=maybe", "smtps://h?tls=none", "smtp://u:canary%0d@h", "smtp://u:%zzcanary@h",
		"smtp://h/canary", "smtp://-h", "smtp://h%0d%0a",
	} {
		_, err := notify.New(mailSettings(url), notify.Options{})
		if assert.ErrorContains(t, err, "SMTP_URL: ", "%q", url) {
			assert.NotContains(t, err.Error(), "canary")
			assert.NotContains(t, err.Error(), "ary@")
		}
	}
	for _, url := range []string{
		"smtp://u:p@mail.example.com", "smtps://u:p@mail.example.com:465", "smtp://mail.example.com:25?tls=none", "smtp://[::1]:1025",
		"smtp://localhost:1025", "smtp://u:p%40%2F@127.0.0.1:587",
	} {
		_, err := notify.New(mailSettings(url), notify.Options{})
		assert.NoError(t, err, url)
	}
}

func TestDiscordWebhook(t *testing.T) {
	for _, url := range []string{
		"", "discord.com/api/webhooks/1/canary", "http://discord.com/api/webhooks/1/canary",
		"https://discord.com/api/webhooks/canary", "https://discord.com/channels/1/2",
		"https://u:p@discord.com/api/webhooks/1/canary", "https:///api/webhooks/1/canary",
		"https://discord.com/api/webhooks/1/can%0d%0aary", "%",
	} {
		_, err := notify.New(settings.Notify{Channels: "discord", DiscordWebhook: url}, notify.Options{})
		if assert.ErrorContains(t, err, "DISCORD_WEBHOOK: ", "%q", url) {
			assert.NotContains(t, err.Error(), "canary")
		}
	}
}
