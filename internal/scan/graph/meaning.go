package graph

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// meaningRule says that a name with these words, one after another, means
// something. tail: they must end the name.
type meaningRule struct {
	means Meaning
	words []string
	tail  bool
}

// Rules in the order in which they are tried. "…" before a list: only at the end of a name.
var meaningRules = func() []meaningRule {
	var out []meaningRule
	for _, l := range []struct {
		means Meaning
		tail  bool
		names string
	}{
		{MeansCSRF, false, `csrf, xsrf, csrftoken, xsrftoken, csrfmiddlewaretoken, authenticity token, anti forgery, request verification token, requestverificationtoken`},
		{MeansPassword, false, `password, passwd, pwd, pswd, passphrase, pass word, psw, contrasena, contraseña, clave acceso, senha, mot de passe, motdepasse, mdp, passwort, kennwort, wachtwoord, losenord, parola, haslo, heslo, password1, password2, userpassword, newpassword, oldpassword`},
		{MeansPassword, true, `pass, pw, passcode, secret word`},
		{MeansOTP, false, `otp, totp, mfa code, 2 fa, 2 fa code, tfa, two factor code, twofactorcode, one time code, one time password, onetimecode, verification code, verificationcode, verify code, sms code, smscode, auth code, security code, pin code otp, passcode, authenticator code, confirmation code, reset code, resetcode, backup code, recovery code, mfa, captcha code`},
		{MeansToken, false, `access token, accesstoken, refresh token, refreshtoken, id token, idtoken, auth token, authtoken, bearer, jwt, session token, sessiontoken, session key, sessionkey, reset token, resettoken, reset key, api token, apitoken, api key, apikey,
			x api key, session id, sessionid, sid, sessid, phpsessid, jsessionid, share token, sharetoken, invite token, verification token, confirmation token, activation key, activation token, auth key, authkey, secret key, access key, client secret, ticket granting, xauthtoken, authorization, device token, push token, user token, usertoken, magic link`},
		{MeansToken, true, `token, tokens, tok, jeton`},
		{MeansEmail, false, `email, e mail, emailaddress, mail address, mailaddress, correo, correo electronico, courriel, useremail, emails, email address`},
		{MeansEmail, true, `mail`},
		{MeansUsername, false, `username, user name, login name, loginname, userlogin, usuario, benutzername, gebruikersnaam, utilisateur, uname, usrname, nickname, screen name, user login, account name, accountname, identifier user, login id, loginid, usr, userid name`},
		{MeansUsername, true, `login, user identifier, handle, nick`},
		{MeansPhone, false, `phone, telephone, mobile, cell phone, cellphone, phonenumber, phone number, mobile number, msisdn, telefono, telefon, telefone, handy, whatsapp, fax, mobileno, phoneno`},
		{MeansPhone, true, `tel, cell, contact number, sms`},
		{MeansCoupon, false, `coupon, voucher, promo code, promocode, promotion code, discount code, discountcode, gift code, gift card code, giftcard, redeem code, referral code, referralcode, invite code, couponcode, vouchercode, gutschein`},
		{MeansCoupon, true, `coupon code, promo, promotion`},
		{MeansPageSize, false, `page size, pagesize, per page, perpage, page limit, max results, maxresults, max items, items per page, results per page, num results, page count size, rows per page`},
		{MeansPageSize, true, `limit, top, rows, take, page length, batch size, maxkeys, maxrecords, max records, max keys`},
		{MeansPage, false, `page number, pagenumber, page index, pageindex, page token, pagetoken, next token, nexttoken, continuation token, continuationtoken, starting after, ending before, start index, startindex, page no, pageno, current page, currentpage, next page token`},
		{MeansPage, true, `page, offset, cursor, skip, marker, start at, since id, next, after, before`},
		{MeansSort, false, `sort, order by, orderby, sort by, sortby, sort order, sortorder, sorting, ordering, sort dir, sort field`},
		{MeansSort, true, `order direction, direction`},
		{MeansFilter, false, `filter, filters, where, query string, fields, expand, include, embed, populate, select, projection, conditions, criteria`},
		{MeansRole, false, `role, roles, is admin, isadmin, is superuser, superuser, is staff, isstaff, permission, permissions, privilege, privileges, scope, scopes, authority, authorities, access level, accesslevel, user type, usertype, account type, accounttype,
			is verified, isverified, email verified, verified, is active, is premium, premium, subscription tier, plan, tier, is moderator, is owner, user role, userrole, group ids, clearance, security level, approved, is approved, rol, rolle, admin, vip`},
		{MeansMoney, false, `price, amount, balance, credit, cost, fee, total price, totalprice, subtotal, discount, salary, payment amount, unit price, unitprice, amount cents, tip, tax, money, budget, wage, revenue, refund amount, preis, precio, prix, prezzo, preco, betrag, montant, importe, saldo, monto, price cents, deposit, bid, charge, available credit, credits, points, cashback, value cents, grand total`},
		{MeansQuantity, false, `quantity, qty, count, number of, num items, numitems, seats, stock, units, anzahl, menge, cantidad, quantite, quantidade, copies, nights, guests, tickets, pieces, no of`}, //nolint:misspell // French
		{MeansCallback, false, `callback, callback url, callbackurl, webhook, webhook url, webhookurl, hook url, hookurl, notify url, notifyurl, notification url, notificationurl, ping url, postback, postback url, target url, targeturl, endpoint url, delivery url, events url, subscriber url, ipn url, push endpoint, notify endpoint`},
		{MeansCallback, true, `api`}, // whose API is called: partner_api, and not "api" alone
		{MeansURL, false, `url, uri, href, link, website, web site, homepage, domain name, image url, imageurl, avatar url, avatarurl, picture url, pictureurl, redirect, redirect uri, redirecturi, redirect url, return url, returnurl, return to, returnto, next url, continue url, success url, cancel url, feed url, source url, profile pic url, remote url, origin url, proxy url, blog, site`},
		{MeansURL, true, `endpoint, host, hostname, domain, address url, webpage, continue, dest, redirect to, api url`},
		{MeansFileName, false, `file name, filename, file path, filepath, path, folder, directory, dirname, dir, document name, attachment name, template name, template file, logfile, log file`},
		{MeansFile, false, `file, files, upload, attachment, attachments, file content, filecontent, file data, filedata, image data, imagedata, document file, avatar file, photo file, binary, blob, image file, imagefile, picture file, base 64, base64`},
		{MeansStatus, false, `status, state, stage, workflow, phase, order status, orderstatus, estado, zustand, statut`},
	} {
		for n := range strings.SplitSeq(l.names, ",") {
			out = append(out, meaningRule{l.means, strings.Fields(n), l.tail})
		}
	}
	return out
}()

var meaningByWord = func() map[string][]int {
	m := map[string][]int{}
	for i, r := range meaningRules {
		m[r.words[0]] = append(m[r.words[0]], i)
	}
	return m
}()

// notIt are last words of names that say something about a datum and are not
// it: password_changed_at, token_type, email_verified.
var notIt = set(`at count total enabled disabled required confirmed valid type kind policy format length expires expiry expiration ttl in label sent preference preferences version attempts hint strength
	algorithm alg settings setting config configuration template visible visibility public lifetime age max min limit remaining hash changed changes`)

var (
	dateWords = set(`date datetime timestamp time datum fecha created updated modified deleted expires expiry expiration birthday birthdate dob deadline since until day month year`)
	dateTails = set(`at on date time timestamp datetime until since from to`)
	nameWords = set(`name title firstname lastname fullname givenname familyname surname displayname label nom nombre nome vorname nachname apellido brand model`)
	//nolint:misspell // other languages
	textWords   = set(`description text content body message comment note notes bio about summary caption remark remarks review feedback details detail reason subject abstract memo story answer question instructions beschreibung descripcion mensaje texto nachricht statement excerpt headline tagline post snippet slogan blurb biography`)
	pageSizes   = set(`size count num limit top rows first last n max length take results page_size pagesize per_page perpage`)
	searchWords = set(`q query search keyword keywords term searchterm search_term searchtext search_text s text_search querystring pattern`)
)

// meaningOf tells what a value means by its name, that of what holds it, its
// format and type; and whether the name was sure of it.
func meaningOf(name, format, typ string) (Meaning, bool) {
	switch strings.ToLower(format) {
	case "password":
		return MeansPassword, true
	case "email", "idn-email":
		return MeansEmail, true
	case "binary":
		return MeansFile, true
	case "phone", "phone-number", "phonenumber", "e164":
		return MeansPhone, true
	}
	w := spec.Words(name)
	for len(w) > 1 && (w[0] == "x" || w[0] == "new" && len(w) > 2) {
		w = w[1:]
	}
	if len(w) == 0 {
		return MeansUndefined, false
	}
	last := w[len(w)-1]
	if typ == "boolean" {
		if m := byRules(w); m == MeansRole {
			return MeansRole, true
		}
		return MeansUndefined, false
	}
	if dateTails[last] && len(w) > 1 && last != "from" && last != "to" && last != "on" || dateFormats[strings.ToLower(format)] {
		return MeansDate, true
	}
	if len(w) == 1 || !notIt[last] {
		if m := byRules(w); m != MeansUndefined {
			return refine(m, w), true
		}
	}
	switch f := strings.ToLower(format); {
	case f == "uri" || f == "url" || f == "uri-reference" || f == "iri" || f == "hostname":
		return MeansURL, true
	case f == "byte" && (typ == "string" || typ == ""):
		return MeansFile, false
	case f == "uuid" || f == "guid":
		return MeansID, true
	}
	switch {
	case dateWords[last]:
		return MeansDate, true
	case nameWords[last]:
		return MeansName, true
	case textWords[last]:
		return MeansText, true
	}
	return MeansUndefined, false
}

var dateFormats = set(`date date-time datetime time timestamp unix-time unixtime iso8601 rfc3339 dateTime`)

// byRules tries the rules on the words of a name, those written together included.
func byRules(w []string) Meaning {
	best := len(meaningRules)
	for at, word := range w {
		for _, i := range meaningByWord[word] {
			if i >= best {
				break
			}
			r := &meaningRules[i]
			end := at + len(r.words)
			if end > len(w) || !slices.Equal(w[at:end], r.words) || r.tail && end != len(w) {
				continue
			}
			best = i
		}
	}
	if best == len(meaningRules) {
		return MeansUndefined
	}
	return meaningRules[best].means
}

// refine corrects what a word alone says by the words around it.
func refine(m Meaning, w []string) Meaning {
	last := w[len(w)-1]
	has := func(list ...string) bool {
		return slices.ContainsFunc(list, func(x string) bool { return slices.Contains(w, x) })
	}
	switch m {
	case MeansToken:
		if has("page", "next", "continuation", "cursor", "sync", "previous", "prev") {
			return MeansPage
		}
		if last == "type" || has("idempotency") || last == "url" || last == "uri" {
			return MeansUndefined
		}
	case MeansPassword, MeansOTP:
		if m == MeansPassword && len(w) > 1 { // reset_password_code
			switch last {
			case "code", "otp", "pin":
				return MeansOTP
			case "token", "key":
				return MeansToken
			}
		}
		if last == "url" || last == "uri" || last == "link" {
			return MeansURL
		}
	case MeansEmail:
		if last == "subject" || last == "body" || last == "text" || last == "template" || last == "message" {
			return MeansText
		}
		if idEnds[last] {
			return MeansID
		}
	case MeansUsername:
		if last == "url" {
			return MeansURL
		}
	case MeansPhone, MeansCoupon, MeansMoney, MeansRole, MeansQuantity, MeansFile, MeansStatus, MeansCallback:
		if idEnds[last] {
			return MeansID
		}
		if m == MeansCallback && last == "api" && len(w) == 1 {
			return MeansUndefined
		}
		if m == MeansFile && last == "url" || m == MeansStatus && (last == "url" || last == "link") {
			return MeansURL
		}
		if m == MeansStatus && (last == "code" || last == "text" || last == "message") {
			return MeansUndefined
		}
	case MeansURL:
		if idEnds[last] {
			return MeansID
		}
	}
	return m
}
