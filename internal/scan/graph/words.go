package graph

import "strings"

func set(list string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(list) {
		m[w] = true
	}
	return m
}

// The words below are those of the field: what APIs of all kinds call the same
// thing. None is of one API.
var (
	// areas are segments that say where, not what.
	areas = set(`api apis rest restapi rpc service services svc srv app application web mobile public private internal external common gateway
		rest_api open_api openapi graphql json xml beta alpha stable preview prod production dev staging sandbox www backend server ws node_api
		admin administration administrator backoffice back_office`)
	// softAreas are resources where they stand last or before an object's variable.
	softAreas = set(`service services app application gateway administrator preview server`)
	// selves pick what is the caller's own.
	selves = set(`me self myself current my mine own whoami who_am_i whoami2 current_user currentuser loggedin logged_in authenticated_user authenticated me2 personal_info userinfo user_info my_account myaccount my_profile myprofile`)
	// qualifiers pick among many.
	qualifiers = set(`all recent latest popular trending active inactive top featured archived deleted available pending open closed count total
		default first last next previous newest oldest random today by_id by_name by_status by_user by_email by_date favorites_only any every
		full short brief simple paged paginated page`)
	// formVars are path variables that choose a form or a range, not an object.
	formVars = set(`version api api_version locale lang language format ext extension page limit offset date year month day from to start end
		action type kind status state size width height sort order_by query q search keyword term currency latitude longitude lat lng lon x y z hour week
		quarter category_type mode method op operation direction period interval range start_date end_date from_date to_date url path
		token otp code signature hash expires min max count depth quality precision unit units zoom`)

	// fileEnds say in which form something is answered.
	fileEnds = set(`json xml csv php html xlsx xls pdf txt yaml yml do aspx jsp cgi ashx action atom rss`)

	idEnds     = set(`id ids uuid uuids guid uid oid pk identifier identifiers`)
	weakIDEnds = set(`key number no num nr code slug name ref reference handle sku urn hash login title username email serial vin isbn ean token`)
	// idHeads are nouns before "id" where both are written as one word.
	idHeads = set(`user customer client account order item product post comment article book video vehicle car invoice payment transaction report
		service shop store company tenant org organization team group project task ticket message chat note file document image photo album page blog category tag role
		session device card wallet bank loan policy claim patient doctor appointment booking reservation flight hotel room seat event venue artist song playlist movie
		employee student teacher course lesson exam member owner author seller buyer vendor supplier merchant cart basket coupon voucher address contact lead campaign
		list board issue job request review rating subscription plan address shipment package delivery driver trip ride location city country region zone`)
	idPrefixes = set(`new old parent target source from to src dst dest destination related linked origin original previous next current root main primary default selected given external internal`)

	// nounFirst are verbs that as the first of several words are mostly part of a noun: "order-items", "test-results".
	nounFirst = set(`order post test run comment review request vote payment process job batch share view copy set list follow like archive backup sync invite
		charge session lock open close move track call access query schedule print sign subscribe rate pin use click start stop message delivery health ping status stream`)
	// plainVerbs say what is done to the noun beside them, wherever they stand.
	plainVerbs = set(`get read fetch show retrieve load create add new insert make save update edit modify change replace rename set delete remove destroy erase del list browse find view upsert put patch drop`)
)

// callVerbs say what is done where they end the name of a remote procedure, and may be
// nouns elsewhere.
var callVerbs = map[string]Kind{"store": Create, "post": Create, "submit": Create, "info": Read, "history": List, "terminate": Delete, "kick": Action}

// verbKinds are words that say what an operation does.
var verbKinds = func() map[string]Kind {
	m := map[string]Kind{}
	for k, list := range map[Kind]string{
		Create: `create add new insert make save register signup sign_up`,
		Read:   `get read fetch show retrieve load view detail details`,
		List:   `list browse index find_all findall listall`,
		Update: `update edit modify change replace rename set put patch upsert amend revise`,
		Delete: `delete remove destroy erase del drop expel evict discard`,
		Action: `search query find lookup filter login logon signin sign_in log_in logout logoff signout sign_out log_out authenticate auth authorize authorise token refresh export import upload download
			cancel activate deactivate enable disable approve reject confirm verify validate reset send resend start stop pause resume restart run execute batch bulk
			archive restore publish unpublish lock unlock close open copy move clone duplicate merge sync preview test check transfer pay refund apply redeem assign unassign accept decline
			subscribe unsubscribe join leave invite complete submit process retry track calculate compute convert render print
			health healthz healthcheck ping debug forgot forgot_password forgotpassword reset_password resetpassword change_password changepassword rotate revoke renew claim notify poll
			follow unfollow like unlike vote upvote downvote rate star unstar share unshare report ban unban block unblock mute unmute pin unpin
			checkout purchase buy order_now withdraw deposit charge capture void authorize_payment dispatch ship deliver return exchange schedule book rebook reschedule
			seed wipe purge flush truncate clear shutdown reboot reload resync reindex rebuild init initialize setup install migrate callback webhook
			graphql rpc introspect increment decrement generate sign encrypt decrypt hash echo ask chat translate`,
	} {
		for w := range strings.FieldsSeq(list) {
			m[w] = k
		}
	}
	return m
}()
