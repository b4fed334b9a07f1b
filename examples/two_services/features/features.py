def features(ride):
    return ride["km"]
