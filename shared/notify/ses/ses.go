// Package ses tells people by mail over Amazon SES, API version 2. It is the only notifier that links the AWS SDK, and does
// so without its config package: that one doubles the cold start of a Lambda.
//
// What is sent is the same letter that SMTP sends, as raw MIME, so a role needs ses:SendRawEmail beside ses:SendEmail. SES
// puts its own Message-ID in place of ours, so a mail that comes again cannot be told from the first by it; the reference in
// the text is the same (https://docs.aws.amazon.com/ses/latest/dg/header-fields.html).
package ses

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
)

// Settings are AWS's own, as a Lambda has them in its environment.
type Settings struct {
	Region          string // AWS_REGION
	AccessKeyID     string // AWS_ACCESS_KEY_ID
	SecretAccessKey string // AWS_SECRET_ACCESS_KEY
	SessionToken    string // AWS_SESSION_TOKEN; empty for a key that lasts
	Endpoint        string // AWS_ENDPOINT_URL_SESV2, or AWS_ENDPOINT_URL; empty = AWS
	HTTP            *http.Client
}

// Environment reads the settings by getenv, such as [os.Getenv].
func Environment(getenv func(string) string) Settings {
	first := func(names ...string) string {
		for _, name := range names {
			if value := getenv(name); value != "" {
				return value
			}
		}
		return ""
	}
	return Settings{
		Region:          first("AWS_REGION", "AWS_DEFAULT_REGION"),
		AccessKeyID:     getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    getenv("AWS_SESSION_TOKEN"),
		Endpoint:        first("AWS_ENDPOINT_URL_SESV2", "AWS_ENDPOINT_URL"),
	}
}

// Notifier tells people by SES. It is safe for use by several goroutines; its connections are the HTTP client's.
type Notifier struct {
	mail   notify.Mail
	client *sesv2.Client
}

// Join is this package for notify.Settings.Further["ses"].
func Join(s Settings) func(notify.Mail) (notify.Notifier, error) {
	return func(m notify.Mail) (notify.Notifier, error) { return New(m, s) }
}

// New says everything that the settings lack.
func New(m notify.Mail, s Settings) (*Notifier, error) {
	var faults []error
	for _, needed := range []struct{ value, name, example string }{
		{s.Region, "AWS_REGION", "eu-central-1"},
		{s.AccessKeyID, "AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"},
		{s.SecretAccessKey, "AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
	} {
		if needed.value == "" {
			faults = append(faults, fmt.Errorf("%s: is needed for ses; for example %s", needed.name, needed.example))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	cfg := aws.Config{
		Region: s.Region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.SessionToken}, nil
		}),
	}
	if s.Endpoint != "" {
		cfg.BaseEndpoint = aws.String(s.Endpoint)
	}
	if s.HTTP != nil {
		cfg.HTTPClient = s.HTTP
	}
	return FromConfig(m, cfg), nil
}

// FromConfig is for servers, which look AWS's settings up by its config package.
func FromConfig(m notify.Mail, cfg aws.Config) *Notifier {
	return &Notifier{mail: m, client: sesv2.NewFromConfig(cfg, func(o *sesv2.Options) {
		// Who tries again is the delivery engine: a second try in here could send twice what one was asked for.
		o.Retryer = aws.NopRetryer{}
	})}
}

// longest is how long one letter may take where its context says nothing shorter.
const longest = time.Minute

func (n *Notifier) Notify(ctx context.Context, m notify.Message) error {
	letter, err := n.mail.Compose(m)
	if err != nil {
		return err
	}
	if !ascii(letter.To) {
		return events.Errorf(events.Invalid, "SES takes no address with other letters than ASCII before the @")
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	_, err = n.client.SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: aws.String(letter.From),
		Destination:      &types.Destination{ToAddresses: letter.To},
		Content:          &types.EmailContent{Raw: &types.RawMessage{Data: letter.Raw}},
	})
	if err == nil {
		return nil
	}
	return explain(ctx, err, letter.Named)
}

func ascii(addresses []string) bool {
	for _, a := range addresses {
		for _, r := range a {
			if r > 127 {
				return false
			}
		}
	}
	return true
}
