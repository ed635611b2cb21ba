package ses

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/smithy-go"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
)

var _ notify.Prober = (*Notifier)(nil)

// Probe asks how the account stands. A role that may only send has no right to (ses:GetAccount); that SES tells it so shows
// that it is reached and knows the credentials.
func (n *Notifier) Probe(ctx context.Context) (string, error) {
	account, err := n.client.GetAccount(ctx, &sesv2.GetAccountInput{})
	refusal, answered := errors.AsType[smithy.APIError](err)
	if answered && refusal.ErrorCode() == "AccessDeniedException" {
		return "SES answers and knows the credentials; whether the account may send is not seen without the right ses:GetAccount", nil
	}
	switch {
	case err != nil && !answered:
		return "", events.Wrap(events.Unavailable, notify.Cause(ctx, err), "SES did not answer")
	case err != nil:
		return "", explain(ctx, err, false)
	case !account.SendingEnabled:
		return "", events.Errorf(events.Unavailable, "SES has paused sending of this account in this region; look at its console for the reason")
	case !account.ProductionAccessEnabled:
		return "SES answers; the account is in the sandbox, where only verified addresses can be told", nil
	}
	return "SES answers, and the account may send", nil
}
