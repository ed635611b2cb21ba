package apigateway

import (
	"log/slog"
	"strings"

	"github.com/sipeat/sipeat/shared/web"
)

// Function makes an endpoint a Lambda function of its own, which serves its route alone. It reads, for [Guard], JWT_SCOPE (the
// scopes of staff, separated by blanks; none = API Gateway alone checks them) and AWS_SAM_LOCAL, and API_BASE_PATH for
// [BasePath].
func Function(f web.Function, logger *slog.Logger, getenv func(string) string) *Adapter {
	guard := Guard(getenv("AWS_SAM_LOCAL") == "true", strings.Fields(getenv("JWT_SCOPE"))...)
	return New(web.Router([]web.Function{f}, web.Log(logger), web.Guard(guard), web.BehindTLS()), BasePath(getenv("API_BASE_PATH")))
}
