package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/sipeat/sipeat/shared/settings"
)

// misspelling is a name in the environment that nothing reads, and the one that is nearly spelt like it.
type misspelling struct{ name, meant string }

// misspelt looks for them in what [os.Environ] returns. Of a name's letters one in four may be wrong, and two at most;
// capitals do not matter here, though they do where names are read.
func misspelt(environ []string) (all []misspelling) {
	names := append(settings.Names(), "DYNAMODB_ENDPOINT")
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if value == "" || slices.Contains(names, name) {
			continue
		}
		wrong := func(meant string) int { return levenshtein.ComputeDistance(strings.ToUpper(name), meant) }
		meant := slices.MinFunc(names, func(a, b string) int { return cmp.Compare(wrong(a), wrong(b)) })
		if wrong(meant) <= min(2, len(meant)/4) {
			all = append(all, misspelling{name, meant})
		}
	}
	slices.SortFunc(all, func(a, b misspelling) int { return strings.Compare(a.name, b.name) })
	return all
}

func checkEnvironment(environ []string) (found []finding) {
	for _, m := range misspelt(environ) {
		found = append(found, finding{Subject: m.name, Status: noted, Says: "it is set, and nothing reads it", Remedy: fmt.Sprintf("if %s is meant, set that", m.meant)})
	}
	return found
}
