package identity

import (
	"fmt"
	"hash/crc32"

	"github.com/mezusphere/mezu"
)

// Keys of users and of their index records, and of logos, all below the id of the directory.
const (
	prefixUser  = "user/"
	prefixLogin = "login/"
	prefixLogo  = "logo/"

	prefixStranger = "login-stranger/"
)

func keyLogo(directory string) string { return prefixLogo + directory }

func usersOf(directory string) string         { return prefixUser + directory + "/" }
func keyLogins(directory, user string) string { return prefixLogin + directory + "/" + user }

// keyStranger is where attempts for addresses that nobody has are noted, in a few records
// that nobody reads.
func keyStranger(directory, client string) string {
	return fmt.Sprintf("%s%s/%d", prefixStranger, directory, crc32.ChecksumIEEE([]byte(client))%8)
}
func keyMail(directory, blind string) string { return "mail/" + directory + "/" + blind }
func statusOf(directory string, s mezu.UserStatus) string {
	return "user-status/" + directory + "/" + string(s) + "/"
}
func userCountsOf(directory string) string { return "user-count/" + directory + "/" }
func keyUserCount(directory string, part int) string {
	return fmt.Sprintf("%s%02d", userCountsOf(directory), part)
}

// holdersOf is the index of users by role, holdersInStatus that by role and status. There are
// two, so that a change of status doesn't move a user within the listing of a role.
func holdersOf(directory string, g roleGrant) string {
	return "user-role/" + directory + "/" + g.Project + "/" + g.Role + "/"
}
func holdersInStatus(directory string, g roleGrant, s mezu.UserStatus) string {
	return "user-role-status/" + directory + "/" + g.Project + "/" + g.Role + "/" + string(s) + "/"
}
