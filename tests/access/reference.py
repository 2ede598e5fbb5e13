"""Who is to be answered how, written by hand from what is promised about rights: nothing here comes from the code.

The promises: a role includes those before it; auditors read everything and change nothing; robots and access tokens
hold a part of what their makers hold; cookies mean nothing under `/v2/`, nor tokens of the token endpoint at
`/api/v1/`. Anonymous, or a token that is too narrow: 401. Somebody known without the right: 403. What somebody may not
see answers as if it were absent: 404 to reading it.

The world: team `acorn` has the private repositories `app` and `web` and the public `pub`; `apx` is absent. Everybody
who has a role has it there. Team `vault` has a private `app` that nobody of them is told of, `fairs` is public. There
is no team `ghost`. Who has no role in the team but a grant has it for `ap*`; limited tokens are limited to the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass

HOLDERS = ("outsider", "granted", "reader", "developer", "maintainer", "owner", "auditor", "administrator")
NOBODY = "-"
NOT_ASKED = ("-", ".")
# HEAD is GET without a body, whoever asks: these two are enough.
ASK_BY_HEAD = ("anonymous", "password")


def _grid(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a table: its first line names the columns."""
    head, *rows = (line.split() for line in text.strip().splitlines())
    for row in rows:
        cells = row[-len(head) :]
        yield " ".join(row[: -len(head)]), dict(zip(head, cells, strict=True))


# What somebody is, by the credential they come with and who they are: for repositories. Where a limit takes nothing
# away there is a dot, where there is no such thing, or nothing new about it, a dash.
IN_REPOSITORIES = dict(
    _grid("""
                             outsider granted reader developer maintainer owner auditor administrator
        password             none     ap-dev  rea    dev       mai        own   aud     adm
        token endpoint       none     ap-dev  rea    dev       mai        own   aud     adm
        too narrow           -        -       rea    -         -          own   -       -
        access token         none     ap-dev  rea    dev       mai        own   aud     adm
        reading token        .        ap-rea  .      rea       rea        rea   aud     none
        developing token     .        .       .      .         dev        dev   .       none
        maintaining token    .        .       .      .         .          -     .       none
        token for ap*        none     .       ap-rea ap-dev    ap-mai     ap-mai ap-rea ap-mai
        session              -        -       -      -         -          anon  -       anon
        robot                -        -       rea    dev       mai        -     -       -
        robot for ap*        -        -       -      ap-dev    -          -     -       -
        robot, endpoint      -        -       -      -         mai        -     -       -
    """)
)

# The same in teams and in the instance. Neither robots nor what is limited to repositories has a part in a team.
IN_TEAMS = dict(
    _grid("""
                             outsider granted reader developer maintainer owner auditor administrator
        password             none     none    rea    dev       mai        own   aud     adm
        session              none     none    rea    dev       mai        own   aud     adm
        session, no csrf     -        -       -      -         -          -     -       adm
        access token         none     none    rea    dev       mai        own   aud     adm
        reading token        .        .       .      rea       rea        rea   aud     none
        developing token     .        .       .      .         dev        dev   .       none
        maintaining token    .        .       .      .         .          mai   .       none
        token for ap*        none     .       none   none      none       none  none    none
        robot                -        -       -      -         none       -     -       -
    """)
)

# What they may do: read, write (push) and delete. In a team that is not there only those have a right who may make it.
HELD = dict(
    _grid("""
                   acorn/app acorn/apx acorn/web acorn/pub vault/app ghost/app
        anon       -         -         -         r         -         -
        none       -         -         -         r         -         -
        ap-rea     r         r         -         r         -         -
        ap-dev     rw        rw        -         r         -         -
        ap-mai     rwd       rwd       -         r         -         -
        rea        r         r         r         r         -         -
        dev        rw        rw        rw        rw        -         -
        mai        rwd       rwd       rwd       rwd       -         -
        own        rwd       rwd       rwd       rwd       -         -
        aud        r         r         r         r         r         -
        adm        rwd       rwd       rwd       rwd       rwd       rwd
    """)
)
REPOSITORIES = ("acorn/app", "acorn/apx", "acorn/web", "acorn/pub", "vault/app", "ghost/app")
ABSENT = frozenset({"acorn/apx", "ghost/app"})

# A request, the right that it needs, and the answers to who has it: the repository is there, or is absent.
V2 = dict(
    _grid("""
                                          right there absent
        GET manifest by tag               r     200   404
        HEAD manifest by tag              r     200   404
        GET manifest by digest            r     200   404
        HEAD manifest by digest           r     200   404
        GET manifest, absent              r     404   404
        PUT manifest by tag               w     201   201
        PUT manifest by digest            w     201   201
        PUT manifest, other digest        w     400   400
        DELETE manifest by tag            d     202   404
        DELETE manifest by digest         d     202   404
        DELETE manifest, absent           d     404   404
        GET blob                          r     200   404
        HEAD blob                         r     200   404
        GET blob, absent                  r     404   404
        DELETE blob                       d     202   404
        DELETE blob, absent               d     404   404
        POST blob_upload                  w     202   202
        POST blob_upload, whole           w     201   201
        POST blob_upload, other digest    w     400   400
        POST blob_upload, mount           w     201   201
        POST blob_upload, mount hidden    w     202   202
        POST blob_upload, mount anywhere  w     202   202
        GET blob_upload_chunk             w     204   404
        HEAD blob_upload_chunk            w     204   404
        PATCH blob_upload_chunk           w     202   404
        PUT blob_upload_chunk             w     201   404
        DELETE blob_upload_chunk          w     204   404
        GET blob_upload_chunk, foreign    w     404   404
        PATCH blob_upload_chunk, foreign  w     404   404
        PUT blob_upload_chunk, foreign    w     404   404
        DELETE blob_upload_chunk, foreign w     404   404
        GET tags                          r     200   404
        HEAD tags                         r     200   404
        GET referrers                     r     200   200
        HEAD referrers                    r     200   200
    """)
)
# Whoever may read the hidden repository gets its blob.
MOUNTS_OF_HIDDEN = frozenset({"POST blob_upload, mount hidden", "POST blob_upload, mount anywhere"})
# No repository is named: whoever proved to be somebody is let in, and the catalog has a scope of its own.
V2_ENTRY = dict(
    _grid("""
                     anon anon-token too-narrow anybody
        GET base     401  200        200        200
        HEAD base    401  200        200        200
        GET catalog  401  401        401        200
        HEAD catalog 401  401        401        200
    """)
)
CATALOG = {
    "none": "acorn/pub fairs/app",
    **dict.fromkeys(("ap-rea", "ap-dev", "ap-mai"), "acorn/app acorn/pub fairs/app"),
    **dict.fromkeys(("rea", "dev", "mai", "own"), "acorn/app acorn/pub acorn/web fairs/app"),
    **dict.fromkeys(("aud", "adm"), "acorn/app acorn/pub acorn/web fairs/app vault/app"),
}

# The management API. `{…}` are the parameters of the OpenAPI document; what follows a `?` or `#` tells apart requests
# to one endpoint. About a team, for members of it:
TEAMS = dict(
    _grid("""
                                                              anon none rea dev mai own aud adm
        GET    teams/{team}                                   401  404  200 200 200 200 200 200
        PATCH  teams/{team}                                   401  404  403 403 403 200 403 200
        PATCH  teams/{team}#quota                             401  404  403 403 403 403 403 200
        DELETE teams/{team}                                   401  404  403 403 403 409 403 409
        GET    teams/{team}/members                           401  404  200 200 200 200 200 200
        GET    teams/{team}/members/{username}                401  404  200 200 200 200 200 200
        PUT    teams/{team}/members/{username}                401  404  403 403 403 200 403 200
        DELETE teams/{team}/members/{username}                401  404  403 403 403 204 403 204
        GET    teams/{team}/grants                            401  404  200 200 200 200 200 200
        POST   teams/{team}/grants                            401  404  403 403 403 201 403 201
        PATCH  teams/{team}/grants/{grant_id}                 401  404  403 403 403 200 403 200
        DELETE teams/{team}/grants/{grant_id}                 401  404  403 403 403 204 403 204
        GET    teams/{team}/robots                            401  404  403 403 200 200 200 200
        POST   teams/{team}/robots                            401  404  403 403 201 201 403 201
        GET    teams/{team}/robots/{robot}                    401  404  403 403 200 200 200 200
        PATCH  teams/{team}/robots/{robot}                    401  404  403 403 200 200 403 200
        DELETE teams/{team}/robots/{robot}                    401  404  403 403 204 204 403 204
        POST   teams/{team}/robots/{robot}/rotate             401  404  403 403 200 200 403 200
        GET    teams/{team}/robots/{robot}/identities         401  404  403 403 200 200 200 200
        POST   teams/{team}/robots/{robot}/identities         401  404  403 403 201 201 403 201
        DELETE teams/{team}/robots/{robot}/identities/{identity_id} 401  404  403 403 204 204 403 204
        GET    teams/{team}/tag-rules                         401  404  200 200 200 200 200 200
        POST   teams/{team}/tag-rules                         401  404  403 403 201 201 403 201
        DELETE teams/{team}/tag-rules/{rule_id}               401  404  403 403 204 204 403 204
        GET    teams/{team}/retention                         401  404  200 200 200 200 200 200
        PUT    teams/{team}/retention                         401  404  403 403 200 200 403 200
        DELETE teams/{team}/retention                         401  404  403 403 204 204 403 204
        POST   teams/{team}/retention/preview                 401  404  200 200 200 200 200 200
        GET    teams/{team}/retention/versions                401  404  200 200 200 200 200 200
        GET    teams/{team}/usage                             401  404  200 200 200 200 200 200
        GET    teams/{team}/trash                             401  404  200 200 200 200 200 200
        DELETE teams/{team}/trash/{repository_id}             401  404  404 404 404 404 404 404
        POST   teams/{team}/trash/{repository_id}/restore     401  404  404 404 404 404 404 404
        GET    audit?team={team}                              401  404  403 403 200 200 200 200
        GET    access/explain?team={team}                     401  404  403 403 200 200 200 200
        GET    access/explain?repository={team}/app           401  404  403 403 200 200 200 200
    """)
)
# Who may see all teams is told first that there is none, because what is asked for decides which right it takes.
TEAM_FIRST = ("PATCH teams/{team}", "PATCH teams/{team}#quota", "DELETE teams/{team}/members/{username}")
TEAM_NAMES = ("acorn", "vault", "ghost")
# About other users, whom only administrators and auditors may know of:
USERS = dict(
    _grid("""
                                                              anon none rea dev mai own aud adm
        GET    users/{username}                               401  404  404 404 404 404 200 200
        PATCH  users/{username}                               401  404  404 404 404 404 403 200
        DELETE users/{username}                               401  404  404 404 404 404 403 204
        POST   users/{username}/sign-out                      401  404  404 404 404 404 403 204
        GET    users/{username}/tokens                        401  404  404 404 404 404 200 200
        DELETE users/{username}/tokens/{token_id}             401  404  404 404 404 404 403 204
    """)
)
# About nothing in particular:
INSTANCE = dict(
    _grid("""
                                                              anon none rea dev mai own aud adm
        GET    users                                          401  403  403 403 403 403 200 200
        POST   users                                          401  403  403 403 403 403 403 201
        GET    repositories                                   401  200  200 200 200 200 200 200
        GET    teams                                          401  200  200 200 200 200 200 200
        POST   teams                                          401  403  403 403 403 403 403 201
        GET    audit                                          401  403  403 403 200 200 200 200
        GET    quarantine                                     401  403  403 403 403 403 200 200
        GET    retention                                      401  403  403 403 403 403 200 200
        PUT    retention                                      401  403  403 403 403 403 403 200
        DELETE retention                                      401  403  403 403 403 403 403 204
        GET    retention/versions                             401  403  403 403 403 403 200 200
        GET    gc                                             401  403  403 403 403 403 200 200
        POST   gc/pause                                       401  403  403 403 403 403 403 200
        POST   gc/resume                                      401  403  403 403 403 403 403 200
        GET    access/explain                                 401  200  200 200 200 200 200 200
        GET    access/explain#another                         401  403  403 403 403 403 200 200
        GET    access/roles                                   200  200  200 200 200 200 200 200
        GET    schema                                         200  200  200 200 200 200 200 200
        GET    session                                        401  200  200 200 200 200 200 200
        POST   session                                        201  201  201 201 201 201 201 201
        DELETE session                                        204  204  204 204 204 204 204 204
    """)
)
# About a blob or a manifest, whoever may pull from one of the repositories that hold it.
BLOBS = ("GET blobs/{digest}/why",)
HOLDERS_OF = {"everywhere": ("acorn/app", "acorn/pub"), "hidden": ("vault/app",), "absent": ()}
# Who may read a public repository by a role, and not as everybody may.
MEMBERS = ("rea", "dev", "mai", "own", "aud", "adm")
# About a repository, by what somebody may do in it (HELD, `m` for who has a role in it, and `o` for owners), and the
# answer where it is there.
REPOSITORY = dict(
    _grid("""
                                                              needs there
        GET    repositories/{name}                            r     200
        PATCH  repositories/{name}                            o     200
        DELETE repositories/{name}                            d     204
        GET    repositories/{name}/-/tags                     r     200
        GET    repositories/{name}/-/tags/{tag}               r     200
        PATCH  repositories/{name}/-/tags/{tag}               d     200
        DELETE repositories/{name}/-/tags/{tag}               d     204
        GET    repositories/{name}/-/tags/{tag}/history       r     200
        POST   repositories/{name}/-/tags/{tag}/restore       w     200
        POST   repositories/{name}/-/tags/delete              d     200
        GET    repositories/{name}/-/manifests/{digest}       r     200
        GET    repositories/{name}/-/retention                m     200
        PUT    repositories/{name}/-/retention                d     200
        DELETE repositories/{name}/-/retention                d     204
        POST   repositories/{name}/-/retention/preview        m     200
        GET    repositories/{name}/-/retention/versions       m     200
        GET    repositories/{name}/-/trash                    r     200
        DELETE repositories/{name}/-/trash                    d     200
    """)
)
LISTED_TEAMS = {
    "none": "",
    **dict.fromkeys(("rea", "dev", "mai", "own"), "acorn"),
    **dict.fromkeys(("aud", "adm"), "acorn fairs vault"),
}

# About one's own account: by what one came with. Robots and people of a password file have none.
ACCOUNT = dict(
    _grid("""
                                                              anon direct token limited none
        GET    users/me                                       401  200    200   403     404
        PATCH  users/me                                       401  200    403   403     404
        PUT    users/me/password                              401  204    403   403     404
        POST   users/me/sign-out                              401  204    403   403     404
        GET    users/me/tokens                                401  200    200   403     404
        POST   users/me/tokens                                401  201    403   403     404
        DELETE users/me/tokens/{token_id}                     401  204    403   403     404
    """)
)
# The same account under its name, which those may change who may change all.
OWN_NAME = dict(
    _grid("""
                                                              direct token limited adm
        GET    users/{username}#self                          200    200   403     200
        PATCH  users/{username}#self                          403    403   403     200
        DELETE users/{username}#self                          403    403   403     204
        POST   users/{username}/sign-out#self                 403    403   403     204
        GET    users/{username}/tokens#self                   200    200   403     200
        DELETE users/{username}/tokens/{token_id}#self        204    403   403     204
        POST   users/me/tokens#administration                 403    403   403     201
    """)
)
# Leaving a team, which everybody may who is in it, and nobody else is told of it.
LEAVING = dict(
    _grid("""
               none rea dev mai own aud adm
        direct 404  204 204 204 204 404 404
        token  404  403 403 403 204 403 404
    """)
)
OWN_ACCOUNT = {
    "password": "direct",
    "session": "direct",
    "session, no csrf": "direct",
    "access token": "token",
    "reading token": "token",
    "developing token": "token",
    "maintaining token": "token",
    "token for ap*": "limited",
    "robot": "none",
}


@dataclass(frozen=True)
class Who:
    """A credential, by a row of the tables above, and who holds it, by a column."""

    credential: str
    holder: str = NOBODY

    def __str__(self) -> str:
        return f"{self.holder} by {self.credential}"

    @property
    def in_repositories(self) -> str:
        return "anon" if self.holder == NOBODY else IN_REPOSITORIES[self.credential][self.holder]

    @property
    def in_teams(self) -> str:
        return "anon" if self.holder == NOBODY else IN_TEAMS[self.credential][self.holder]

    @property
    def held(self) -> dict[str, str]:
        return HELD[self.in_repositories]


def expected_v2(who: Who, request: str, repository: str) -> int:
    needs, there, absent = V2[request].values()
    held = who.held[repository]
    if needs in held:
        if who.credential == "too narrow" and (repository, needs) != ("acorn/app", "r"):
            return 401
        if request in MOUNTS_OF_HIDDEN and "r" in who.held["vault/app"]:
            return 201
        return int(absent if repository in ABSENT else there)
    if who.in_repositories == "anon":
        return 401
    return 404 if needs == "r" else 403


def expected_of_repository(who: Who, request: str, repository: str) -> int:
    """A session stands for the password that began it; nobody is anonymous here, whatever is public."""
    if refused := _without_csrf(who, request):
        return refused
    if who.holder == NOBODY:
        return 401
    column = _in_managed_repositories(who)
    held = HELD[column][repository]
    held += "m" if "r" in held and (repository != "acorn/pub" or column in MEMBERS) else ""
    owns = who.holder in {"owner", "administrator"} and column in {"own", "adm", "ap-mai"}
    held += "o" if owns and "d" in held else ""
    needs, there = REPOSITORY[request].values()
    if needs in held:
        return 404 if repository in ABSENT else int(there)
    return 403 if "r" in held else 404


def expected_of_blob(who: Who, what: str) -> int:
    if who.holder == NOBODY:
        return 401
    held = HELD[_in_managed_repositories(who)]
    return 200 if any("r" in held[name] for name in HOLDERS_OF[what]) else 404


def _in_managed_repositories(who: Who) -> str:
    by = "password" if who.credential.startswith("session") else who.credential
    column = IN_REPOSITORIES[by][who.holder]
    if column == ".":
        return IN_REPOSITORIES["access token"][who.holder]
    return IN_TEAMS[by][who.holder] if column == "-" else column


def expected_entry(who: Who, request: str) -> int:
    column = {"anonymous token": "anon-token", "too narrow": "too-narrow"}.get(who.credential, "anybody")
    column = "anon" if who.in_repositories == "anon" and column == "anybody" else column
    return int(V2_ENTRY[request][column])


def expected_in_team(who: Who, request: str, team: str, *, child_exists: bool = True) -> int:
    if refused := _without_csrf(who, request):
        return refused
    column = who.in_teams
    elsewhere = team != "acorn" and column in {"rea", "dev", "mai", "own"}
    status = int(TEAMS[request]["none" if elsewhere else column])
    if column == "aud" and team == "ghost" and request in TEAM_FIRST:
        return 404
    if status >= 400 and status != 409:
        return status
    # The log, and decisions, are of what is there no more, too.
    absent = (team == "ghost" and "?" not in request) or not child_exists
    return 404 if absent else status


def expected_of_user(who: Who, request: str, *, exists: bool) -> int:
    status = int(USERS[request][who.in_teams])
    return _without_csrf(who, request) or (status if exists or status >= 400 else 404)


def expected_in_instance(who: Who, request: str) -> int:
    if request == "POST session":
        return 201
    return _without_csrf(who, request) or int(INSTANCE[request][who.in_teams])


def expected_of_account(who: Who, request: str) -> int:
    column = "anon" if who.holder == NOBODY else OWN_ACCOUNT[who.credential]
    return _without_csrf(who, request) or int(ACCOUNT[request][column])


def expected_under_own_name(who: Who, request: str) -> int:
    administers = who.in_teams == "adm"
    if request == "POST users/me/tokens#administration":
        administers = administers and OWN_ACCOUNT[who.credential] == "direct"
    column = "adm" if administers else OWN_ACCOUNT[who.credential]
    return _without_csrf(who, request) or int(OWN_NAME[request][column])


def expected_leaving(who: Who) -> int:
    row = "direct" if OWN_ACCOUNT[who.credential] == "direct" else "token"
    return _without_csrf(who, "DELETE") or int(LEAVING[row][who.in_teams])


def _without_csrf(who: Who, request: str) -> int:
    return 403 if who.credential == "session, no csrf" and not request.startswith("GET") else 0
