package apigateway

import (
	"log/slog"

	"github.com/sipeat/sipeat/shared/web"
)

// Function makes an endpoint a Lambda function of its own, which serves its route alone. samLocal is as for [Guard].
func Function(f web.Function, logger *slog.Logger, samLocal bool, options ...Option) *Adapter {
	return New(web.Router([]web.Function{f}, web.Log(logger), web.Guard(Guard(samLocal)), web.BehindTLS()), options...)
}
