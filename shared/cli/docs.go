package cli

import (
	"github.com/spf13/cobra"

	"github.com/sipeat/sipeat/shared/docs"
	"github.com/sipeat/sipeat/shared/web"
)

func (a *app) docsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "docs openapi|asyncapi",
		Short: "Write the document of the API (OpenAPI 3.1) or of the topics (AsyncAPI 3.0)",
		Long: "Write the document of the API (OpenAPI 3.1) or of the topics (AsyncAPI 3.0), as JSON. `sipeat serve` and\n" +
			"`sipeat api` serve the same at /openapi.json and /asyncapi.json, and show it at /docs.",
		Example: "  sipeat docs openapi > openapi.json\n" +
			"  npx openapi-typescript openapi.json -o sipeat.d.ts",
		ValidArgs: []string{"openapi", "asyncapi"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(_ *cobra.Command, args []string) error {
			openAPI, asyncAPI := a.documents()
			document := openAPI
			if args[0] == "asyncapi" {
				document = asyncAPI
			}
			_, err := a.stdout.Write(document)
			return err
		},
	}
}

// documents are those of the endpoints and of the topics on the cluster.
func (a *app) documents() (openAPI, asyncAPI []byte) {
	openAPI = docs.OpenAPI(currentVersion(), append(a.endpoints(), web.Health()...))
	return openAPI, docs.AsyncAPI(currentVersion(), a.cluster, topicsOfGroups())
}
