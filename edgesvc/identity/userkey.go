package identity

import (
	"fmt"

	"github.com/mezusphere/mezu"
)

// Keys of users and of what finds them, all below their directory's id.
const (
	prefixUser  = "user/"
	prefixLogin = "login/"
)

func usersOf(directory string) string         { return prefixUser + directory + "/" }
func keyLogins(directory, user string) string { return prefixLogin + directory + "/" + user }
func keyMail(directory, blind string) string  { return "mail/" + directory + "/" + blind }
func statusOf(directory string, s mezu.UserStatus) string {
	return "user-status/" + directory + "/" + string(s) + "/"
}
func userCountsOf(directory string) string { return "user-count/" + directory + "/" }
func keyUserCount(directory string, part int) string {
	return fmt.Sprintf("%s%02d", userCountsOf(directory), part)
}

// holdersOf finds who has a role, holdersInStatus those of a status among them. Two
// indexes, so that a change of status moves nobody within the listing of a role.
func holdersOf(directory string, g roleGrant) string {
	return "user-role/" + directory + "/" + g.Project + "/" + g.Role + "/"
}
func holdersInStatus(directory string, g roleGrant, s mezu.UserStatus) string {
	return "user-role-status/" + directory + "/" + g.Project + "/" + g.Role + "/" + string(s) + "/"
}
