package cli

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/functions/testdata"
	"github.com/spf13/cobra"
)

// functionNames are all functions: those of the API, then the consumers.
func functionNames() []string {
	var names []string
	for _, f := range slices.Concat(commands.Commands{}.Functions(), queries.Queries{}.Functions()) {
		names = append(names, f.Name)
	}
	for _, f := range allConsumers() {
		names = append(names, f.Name)
	}
	return names
}

// oneFunction takes the name of a function, and says which there are.
func oneFunction(c *cobra.Command, args []string) error {
	if len(args) != 1 || !slices.Contains(functionNames(), args[0]) {
		given := "no function is named"
		if len(args) == 1 {
			given = fmt.Sprintf("there is no function %q", args[0])
		} else if len(args) > 1 {
			given = "name one function"
		}
		return fmt.Errorf("%s\n%s", given, functionsHelp())
	}
	return nil
}

func functionsHelp() string {
	help, line := "Functions:\n ", 0
	for i, name := range functionNames() {
		if i > 0 {
			help += ","
		}
		if line += len(name) + 2; line > 90 {
			help, line = help+"\n ", len(name)+2
		}
		help += " " + name
	}
	return help
}

// sample is what AWS sends to the function.
func sample(function string) (json.RawMessage, error) {
	return testdata.Samples.ReadFile(function + ".json")
}
