"""A Maildir as one end of a stage, with the little of tests/kit/fakeimap.py's face that stages and walks use."""

import hashlib
import os
import re

LETTERS = {"D": "\\Draft", "F": "\\Flagged", "R": "\\Answered", "S": "\\Seen", "T": "\\Deleted"}


class Maildir:
    """Folders lie side by side (Maildir++); uids are positions, from 1 on, in the order of names."""

    def __init__(self, path):
        self.path, self.number = path, 0
        self.sessions, self.sessions_seen, self.tapes, self.calls = set(), 0, [], {}

    def url(self, user, host):
        return "maildir:%s?id=%s@%s" % (self.path, user, host)

    # -- what there is --

    def directory(self, folder):
        return self.path if folder == "INBOX" else os.path.join(self.path, "." + folder.replace("/", "."))

    def folders(self):
        names = os.listdir(self.path) if os.path.isdir(self.path) else []
        found = [name[1:].replace(".", "/") for name in sorted(names)
                 if name[0] == "." and os.path.isdir(os.path.join(self.path, name, "cur"))]
        return ["INBOX"] + found

    def paths(self, folder):
        found = []
        for part in ("cur", "new"):
            directory = os.path.join(self.directory(folder), part)
            if os.path.isdir(directory):
                found += [os.path.join(directory, name) for name in os.listdir(directory)]
        return sorted(found, key=os.path.basename)

    def keywords(self, folder):
        try:
            with open(os.path.join(self.directory(folder), "dovecot-keywords"), encoding="ascii") as file:
                return {chr(97 + int(number)): name for number, name in map(str.split, file)}
        except FileNotFoundError:
            return {}

    @staticmethod
    def content(path):
        """The message as it goes over the wire."""
        with open(path, "rb") as file:
            data = file.read()
        return data if ".godwit-raw" in path else data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def message(self, folder, path, uid):
        letters, names = path.rpartition(":2,")[2] if ":2," in path else "", {**LETTERS, **self.keywords(folder)}
        body = self.content(path)
        return {"uid": uid, "sha256": hashlib.sha256(body).hexdigest(), "size": len(body),
                "id": re.split("[:,]", os.path.basename(path))[0], "epoch": int(os.stat(path).st_mtime),
                "flags": sorted(names[letter] for letter in letters)}

    def messages(self, folder="INBOX", user=None):
        return [self.message(folder, path, n) for n, path in enumerate(self.paths(folder), 1)]

    def state(self, user=None):
        """RAW: what godwit calls the folder by itself."""
        return {"folders": {name: {"messages": self.messages(name),
                                   "raw": os.path.relpath(self.directory(name), self.path)} for name in self.folders()}}

    def body(self, folder, uid, user=None):
        return self.content(self.paths(folder)[uid - 1])

    def uploads(self):
        """Changes when something is stored."""
        return sorted((os.path.basename(path).split(":")[0], os.stat(path).st_ino)
                      for folder in self.folders() for path in self.paths(folder))

    # -- what somebody else does --

    def letters(self, folder, flags):
        known = {name: letter for letter, name in {**LETTERS, **self.keywords(folder)}.items()}
        for name in flags:
            if name not in known:
                known[name] = chr(97 + len(self.keywords(folder)))
                with open(os.path.join(self.directory(folder), "dovecot-keywords"), "a", encoding="ascii") as file:
                    file.write("%d %s\n" % (ord(known[name]) - 97, name))
        return "".join(sorted(known[name] for name in flags))

    def add(self, folder, body, flags=(), date=None, user=None):
        for part in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(self.directory(folder), part), exist_ok=True)
        if folder != "INBOX":
            open(os.path.join(self.directory(folder), "maildirfolder"), "a", encoding="ascii").close()
        self.number += 1
        path = os.path.join(self.directory(folder), "cur", "1500000000.M%06dP1.example:2,%s" % (
            self.number, self.letters(folder, flags)))
        with open(path, "wb") as file:
            file.write(body.replace(b"\r\n", b"\n"))
        os.utime(path, (date, date))

    def chosen(self, folder, uids):
        low, _, high = str(uids).partition(":")
        return self.paths(folder)[int(low) - 1:int(high or low)]

    def flag(self, folder, uids, change, user=None):
        for path in self.chosen(folder, uids):
            name, _, letters = path.rpartition(":2,")
            letter = self.letters(folder, [change[1:]])
            os.rename(path, name + ":2," + "".join(sorted(set(letters) - {letter} | ({letter} if change[0] == "+" else set()))))

    def expunge(self, folder, uids, user=None):
        for path in self.chosen(folder, uids):
            os.unlink(path)

    # -- what servers have --

    def script(self, text):
        if text:
            raise ValueError("nobody serves a Maildir")

    def unfired(self):
        return []

    def quiet(self, timeout=10):
        return True

    def stop(self):
        pass
