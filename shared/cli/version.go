package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set when a release is built: -ldflags "-X github.com/sipeat/sipeat/shared/cli.version=v1.2.3".
var version = ""

// currentVersion is the release or, without one, Go's version of the commit, or "devel".
func currentVersion() string {
	if build, ok := debug.ReadBuildInfo(); ok && version == "" {
		return strings.Trim(build.Main.Version, "()") // "(devel)"
	}
	return version
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Example: "  sipeat version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.stdout, "sipeat", currentVersion(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
			return err
		},
	}
}
